//! Which errors are an outage. What the infrastructure takes from a handler is no attempt of
//! its own.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// What the server says in a session that goes on: disk full, out of connections, an I/O error, a
/// standby.
const CODES: [&str; 4] = ["53100", "53300", "58030", "25006"];

/// Where the server's own source raises what a function says by `raise`, with any code it likes.
const RAISE: &str = "exec_stmt_raise";

/// Whether the connection or the server was lost, or had no room. What ends the session comes from
/// the server; with the severity of an error the same codes are the function's own words, of a
/// foreign server for instance. A deadlock or a serialization failure is the handler's own: its
/// retries are for it.
pub(crate) fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(error) => {
            let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else { return false };
            matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                || CODES.contains(&error.code()) && error.routine() != Some(RAISE)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_server_that_works_is_none() {
        assert!(is_outage(&sqlx::Error::WorkerCrashed) && is_outage(&sqlx::Error::PoolTimedOut));
        assert!(!is_outage(&sqlx::Error::RowNotFound));
    }
}
