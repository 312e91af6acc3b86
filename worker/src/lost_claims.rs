//! What the infrastructure takes from a handler is no attempt of its own: the step goes back, later
//! each time, and its losses are counted by the database.

use crate::completion::Report;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::time::Duration;

/// The first wait; it doubles with each loss in a row.
const FIRST: Duration = Duration::from_millis(250);
/// As long as a claim may wait in its queue.
const LONGEST: Duration = Duration::from_secs(60);
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

/// The report of a claim that was lost, after so many before it.
pub(crate) fn report(reason: String, losses: i32) -> Report {
    let doubled = FIRST.saturating_mul(1 << losses.clamp(0, 16));
    Report::Release { delay: doubled.min(LONGEST), reason, lost: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_waits_longer_up_to_a_minute() {
        let delay = |losses| match report(String::new(), losses) {
            Report::Release { delay, lost: true, .. } => delay,
            _ => panic!("no loss"),
        };
        assert_eq!((delay(0), delay(1), delay(4)), (FIRST, FIRST * 2, FIRST * 16));
        assert_eq!((delay(19), delay(i32::MAX)), (LONGEST, LONGEST));
    }

    #[test]
    fn an_answer_of_a_server_that_works_is_none() {
        assert!(is_outage(&sqlx::Error::WorkerCrashed) && is_outage(&sqlx::Error::PoolTimedOut));
        assert!(!is_outage(&sqlx::Error::RowNotFound));
    }
}
