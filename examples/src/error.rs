//! What can go wrong in an example. Every message says what to do or what to look at.

use crate::strikes::DataError;
use pgtasker_core::template::Diagnostic;
use pgtasker_worker::{BuildError, ConsumerBuildError};
use uuid::Uuid;

/// The result of a call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an example did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No database was named.
    #[error(
        "DATABASE_URL is not set: set it to a PostgreSQL 15 or newer \
         (postgres://user:password@host:port/database), \
         or start one by `tasker up` and use the URL it prints"
    )]
    NoDatabase,
    /// The engine or its database refused.
    #[error(transparent)]
    Engine(#[from] pgtasker_core::Error),
    /// The worker was built wrongly.
    #[error(transparent)]
    Worker(#[from] BuildError),
    /// The consumer of events was built wrongly.
    #[error(transparent)]
    Consumer(#[from] ConsumerBuildError),
    /// The template file is not YAML.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Template(Vec<Diagnostic>),
    /// Orchestrator or worker ended though nobody asked it to.
    #[error("the {0} ended while tasks were waiting for it; its log says why")]
    Ended(&'static str),
    /// A task did not complete.
    #[error(
        "task {task_id} ended as {state}: {reason} (look at it with `tasker task show {task_id}`)"
    )]
    Task {
        /// Which one.
        task_id: Uuid,
        /// Its state.
        state: String,
        /// Its error.
        reason: String,
    },
    /// Tasks did not end in time.
    #[error(
        "{open} tasks had not ended after {seconds} s; the view tasker.task_overview shows where \
         they are"
    )]
    TimedOut {
        /// How many.
        open: u64,
        /// How long it was waited for, in seconds.
        seconds: u64,
    },
    /// Events were not consumed in time.
    #[error(
        "{waiting} events were not consumed after {seconds} s; `tasker queue list` shows the \
         queue, and the consumer's log why"
    )]
    Unconsumed {
        /// How many.
        waiting: i64,
        /// How long it was waited for, in seconds.
        seconds: u64,
    },
    /// The records of strikes cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error.into())
    }
}
