//! pgtasker-orchestrator: actors, each a loop around its SQL functions. Any number of orchestrators
//! may run on one database; all state is there, so that each can be started and killed at any time.
//! Its own work is the check of contexts by JSON Schema; all other rules are in SQL. The CLI
//! (`tasker orchestrator`, `up`), the examples, and the tests run it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use pgtasker_core::db::{DbOptions, connect};
//! use tokio_util::sync::CancellationToken;
//!
//! let options = DbOptions::new("postgres://localhost/app", "tasker-orchestrator");
//! let pool = connect(&options.max_connections(pgtasker_orchestrator::CONNECTIONS)).await?;
//! let shutdown = CancellationToken::new();
//! pgtasker_orchestrator::Orchestrator::builder(pool).build()?.run(shutdown).await?;
//! # Ok(())
//! # }
//! ```

mod actor;
mod context;
mod due;
mod finalizer;
mod input_schemas;
mod installation;
mod meters;
mod orchestrator;
mod pruner;
mod queue_gauges;
mod results;
mod slow_results;
mod staleness;
mod stats;
mod step_enqueuer;
mod task_gauges;
mod task_requests;
mod traces;

pub use orchestrator::{CONNECTIONS, Orchestrator, OrchestratorBuilder};
pub use stats::{Snapshot, Stats};
pub use task_gauges::TASK_SECONDS;
