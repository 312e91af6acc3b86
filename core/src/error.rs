//! The errors of the SQL API and of the processes around it.

use sqlx::postgres::PgDatabaseError;
use std::time::Duration;

/// The result of a Tasker call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a process and the engine in the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused the call: an SQLSTATE of class TK, see docs/sql-api.md for cause and
    /// remedy.
    #[error(
        "{message}{} ({code})",
        .hint.as_ref().map(|hint| format!(". {}", hint.trim_end_matches('.'))).unwrap_or_default(),
    )]
    Refused {
        /// The SQLSTATE, `TK001` and up.
        code: String,
        /// What is wrong, written by the engine.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The database could not be reached within the time given.
    #[error("cannot reach the database at {target} after {waited:?}: {}", words(.source))]
    Unreachable {
        /// Host, port, and database; never the password.
        target: String,
        /// How long it was tried.
        waited: Duration,
        /// The last error.
        source: sqlx::Error,
    },
    /// The connection cannot be as safe as the URL asks for.
    #[error("no safe connection to {target}: {reason}. {remedy}")]
    Tls {
        /// Host, port, and database; never the password.
        target: String,
        /// What TLS says.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// The connection string does not parse.
    #[error(
        "the database URL is not valid: {0} (expected postgres://user:password@host:port/database)"
    )]
    InvalidUrl(String),
    /// The schema in the database is not the one this program works with.
    #[error("{0}")]
    Schema(String),
    /// Any other database error.
    #[error("{}", words(.0))]
    Database(#[source] sqlx::Error),
}

/// The text of a database error, without the line of the server's own source that sqlx adds.
pub fn words(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(answer) => format!("error returned from database: {}", answer.message()),
        None => error.to_string(),
    }
}

impl Error {
    /// The SQLSTATE, where the error came from the database.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Refused { code, .. } => Some(code.clone()),
            Self::Database(e) => {
                e.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned())
            }
            _ => None,
        }
    }

    /// Whether the database is away, see [`is_outage`].
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Database(e) => is_outage(e),
            _ => false,
        }
    }

    /// Whether trying again later can help: the connection is gone, or the server is starting,
    /// stopping, out of resources, or asked for a retry (deadlock, serialization).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Database(e) => is_transient(e),
            _ => false,
        }
    }
}

/// Whether a database error may pass by itself; classes from the PostgreSQL manual, appendix A.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            // The same classes as tasker.is_passing_error.
            ["08", "25", "40", "53", "54", "55", "57", "58", "XX"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// Whether a database error says that the database is away: no connection, or a server that is
/// stopping, starting, or a standby. A deadlock is not one: it comes from a server that works; nor
/// is a lack of connections, with which those that are open go on, or a full disk, on which a
/// server still reads: a circuit would open and close all the time.
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            ["08", "25006", "57P", "58"].iter().any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(db) = &error
            && let Some(code) = db.code()
            && code.starts_with("TK")
        {
            let hint = db.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint);
            return Self::Refused {
                code: code.into_owned(),
                message: db.message().to_owned(),
                hint: hint.map(str::to_owned),
            };
        }
        Self::Database(error)
    }
}
