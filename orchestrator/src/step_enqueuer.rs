//! StepEnqueuer: sends steps that became ready by the passing of time or by an operator: retries,
//! start times, what was held back. What a result makes ready is sent by the ResultProcessor
//! itself.

use crate::{
    actor::{Actor, Called},
    context::Context,
    due,
};
use pgtasker_core::{Result, failpoint};
use std::time::Duration;

/// The shortest wait for a due time: the database's clock and ours differ by this much easily.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// Nothing announces that a queue has room again: after this time it is looked at.
const ROOM: Duration = Duration::from_millis(100);

/// The actor that sweeps the view of ready steps.
pub(crate) struct StepEnqueuer {
    context: Context,
    /// Grows while a step is due but not sent (its row is locked): no busy loop.
    least_wait: Duration,
}

impl StepEnqueuer {
    pub(crate) fn new(context: Context) -> Self {
        Self { context, least_wait: LEAST_WAIT }
    }
}

impl Actor for StepEnqueuer {
    const NAME: &'static str = "step_enqueuer";

    async fn call(&mut self) -> Result<Called> {
        failpoint::reach("step_enqueuer.before_call");
        let (max, id) = (self.context.batch_size, self.context.id);
        self.context.due.forget();
        let (enqueued, next_due): (i32, Option<i64>) = self
            .context
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select enqueued, next_due_ms from tasker.enqueue_ready_steps($1, $2)",
                )
                .bind(max)
                .bind(id)
                .fetch_one(connection)
                .await
            })
            .await?;
        if enqueued > 0 {
            failpoint::reach("step_enqueuer.after_call");
        }
        self.least_wait =
            least_wait(self.least_wait, enqueued, next_due, self.context.poll_interval);
        self.context.due.announce(next_due);
        self.context.stats.steps_enqueued(enqueued);
        Ok(Called::handled(u64::try_from(enqueued).unwrap_or(0)))
    }

    async fn wait(&mut self) {
        self.context.due.wait(self.least_wait, self.context.poll_interval).await;
    }
}

/// Doubles while calls send nothing although something is due.
fn least_wait(
    last: Duration,
    enqueued: i32,
    next_due: Option<i64>,
    poll_interval: Duration,
) -> Duration {
    match next_due {
        Some(next_due) if enqueued == 0 && due::delay(next_due) <= last.max(ROOM) => {
            (last * 2).min(poll_interval)
        }
        _ => LEAST_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_stays_due_is_asked_for_less_and_less_often() {
        let poll = Duration::from_secs(1);
        let mut wait = LEAST_WAIT;
        for _ in 0..20 {
            wait = least_wait(wait, 0, Some(0), poll);
        }
        assert_eq!(wait, poll);
        let mut full = LEAST_WAIT;
        for _ in 0..20 {
            full = least_wait(full, 0, Some(100), poll);
        }
        assert_eq!(full, poll, "a queue that stays full");
        assert_eq!(least_wait(wait, 3, Some(0), poll), LEAST_WAIT, "something was sent");
        assert_eq!(least_wait(wait, 0, None, poll), LEAST_WAIT, "nothing is due any more");
        assert_eq!(least_wait(wait, 0, Some(5_000), poll), LEAST_WAIT, "only later");
    }
}
