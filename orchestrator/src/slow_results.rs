//! SlowResults: processes one by one the results that would hold up others: those that make many
//! instances, and those of a batch that took too long.

use crate::{
    actor::{Actor, Called},
    results::Beside,
    stats::Stats,
};
use pgtasker_core::{Result, connection::OwnConnection, failpoint};
use std::time::Duration;
use uuid::Uuid;

/// Longer than our statement_timeout, which ends a call that takes too long and is counted.
const PATIENCE: Duration = Duration::from_secs(60);

/// The actor behind `tasker.slow_results`.
pub(crate) struct SlowResults {
    pub(crate) connection: OwnConnection,
    pub(crate) beside: Beside,
    pub(crate) stats: Stats,
    pub(crate) due: crate::due::DueTimes,
    pub(crate) id: Uuid,
    /// Between two looks, when nothing was set aside here.
    pub(crate) interval: Duration,
    /// What the other actor had done when a result took too long.
    pub(crate) calls_then: u64,
}

impl Actor for SlowResults {
    const NAME: &'static str = "slow_results";

    async fn call(&mut self) -> Result<Called> {
        let (id, calls) = (self.id, self.beside.calls());
        let others_go_on = calls > self.calls_then;
        let (processed, enqueued, finished, next_due, timed_out): (
            i32,
            i32,
            i32,
            Option<i64>,
            i32,
        ) = self
            .connection
            .call_within(PATIENCE, async |connection| {
                sqlx::query_as(
                    "select processed, enqueued, finished, next_due_ms, timed_out
                       from tasker.process_slow_result($1, $2)",
                )
                .bind(id)
                .bind(others_go_on)
                .fetch_one(connection)
                .await
            })
            .await?;
        if processed > 0 {
            failpoint::reach("slow_results.after_call");
        }
        if timed_out > 0 {
            self.calls_then = calls;
            tracing::warn!(
                "a result took too long alone; it comes again, and fails after three tries"
            );
        }
        self.due.announce(next_due);
        self.stats.results_processed(processed);
        self.stats.steps_enqueued(enqueued);
        self.stats.tasks_finished(finished);
        Ok(Called::handled(u64::try_from(processed).unwrap_or(0)))
    }

    async fn wait(&mut self) {
        self.beside.wait(self.interval).await;
    }
}
