//! ResultProcessor: takes finished steps, completes them, and sends what became ready, all in one call.

use crate::{
    actor::{Actor, Called},
    orchestrator::Context,
};
use tasker_core::{Result, failpoint};

/// The actor behind the queue of step results.
pub(crate) struct ResultProcessor(pub(crate) Context);

impl Actor for ResultProcessor {
    const NAME: &'static str = "result_processor";

    async fn call(&mut self) -> Result<Called> {
        failpoint::reach("result_processor.before_call");
        let (max, id) = (self.0.batch_size, self.0.id);
        let (processed, enqueued, finished, next_due): (i32, i32, i32, Option<i64>) = self
            .0
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select processed, enqueued, finished, next_due_ms from tasker.process_step_results($1, $2)",
                )
                .bind(max)
                .bind(id)
                .fetch_one(connection)
                .await
            })
            .await?;
        if processed > 0 {
            failpoint::reach("result_processor.after_call");
        }
        self.0.due.announce(next_due);
        self.0.stats.results_processed(processed);
        self.0.stats.steps_enqueued(enqueued);
        self.0.stats.tasks_finished(finished);
        Ok(Called::of_queue(u64::try_from(processed).unwrap_or(0), max, &self.0.waiter))
    }

    async fn wait(&mut self) {
        self.0.waiter.wait(self.0.poll_interval).await;
    }
}
