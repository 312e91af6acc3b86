//! TaskFinalizer: sweeps for what no result announces: tasks and steps whose message was lost, and
//! tasks that stand still, which become dead letters. Tasks that end by their last result are
//! finished by the ResultProcessor.

use crate::{
    actor::{Actor, Called},
    context::Context,
    staleness,
};
use pgtasker_core::{Result, failpoint};
use std::time::Duration;

/// Messages per kind and sweep: it locks their tasks.
const MAX_MESSAGES: i32 = 100;

/// The sweeping actor.
pub(crate) struct TaskFinalizer {
    pub(crate) context: Context,
    pub(crate) interval: Duration,
}

impl Actor for TaskFinalizer {
    const NAME: &'static str = "task_finalizer";

    async fn call(&mut self) -> Result<Called> {
        failpoint::reach("task_finalizer.before_call");
        let id = self.context.id;
        let (resent,): (i32,) = self
            .context
            .connection
            .call(async |connection| {
                sqlx::query_as("select resent from tasker.finalize_tasks($1, $2)")
                    .bind(MAX_MESSAGES)
                    .bind(id)
                    .fetch_one(connection)
                    .await
            })
            .await?;
        failpoint::reach("task_finalizer.after_call");
        if resent > 0 {
            tracing::warn!(resent, "sent lost messages again");
        }
        self.context.stats.messages_resent(resent);
        staleness::sweep(&mut self.context.connection).await?;
        // Never another at once: what stays stuck must not spin.
        Ok(Called { handled: u64::try_from(resent).unwrap_or(0), more: false })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.interval).await;
    }
}
