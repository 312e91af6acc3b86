//! ResultProcessor: takes finished steps, completes them, and sends what became ready, all in one call.

use crate::{
    actor::{Actor, Called},
    orchestrator::Context,
};
use tasker_core::{Result, failpoint};

/// The actor behind the queue of step results.
pub(crate) struct ResultProcessor(pub(crate) Context);

/// What a call of `process_step_results` did.
#[derive(sqlx::FromRow)]
struct Processed {
    processed: i32,
    enqueued: i32,
    finished: i32,
    next_due_ms: Option<i64>,
    retried: i32,
    failed: i32,
    expired: i32,
}

impl Actor for ResultProcessor {
    const NAME: &'static str = "result_processor";

    async fn call(&mut self) -> Result<Called> {
        failpoint::reach("result_processor.before_call");
        let (max, id) = (self.0.batch_size, self.0.id);
        let done: Processed = self
            .0
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select processed, enqueued, finished, next_due_ms, retried, failed, expired
                       from tasker.process_step_results($1, $2)",
                )
                .bind(max)
                .bind(id)
                .fetch_one(connection)
                .await
            })
            .await?;
        if done.processed > 0 {
            failpoint::reach("result_processor.after_call");
        }
        self.0.due.announce(done.next_due_ms);
        self.0.stats.results_processed(done.processed);
        self.0.stats.steps_enqueued(done.enqueued);
        self.0.stats.tasks_finished(done.finished);
        for (name, by) in [
            ("tasker_steps_retried_total", done.retried),
            ("tasker_steps_failed_total", done.failed),
            ("tasker_lease_expiries_total", done.expired),
        ] {
            metrics::counter!(name).increment(u64::try_from(by).unwrap_or(0));
        }
        Ok(Called::of_queue(u64::try_from(done.processed).unwrap_or(0), max, &self.0.waiter))
    }

    async fn wait(&mut self) {
        self.0.waiter.wait(self.0.poll_interval).await;
    }
}
