//! ResultProcessor: takes finished steps, completes them, and sends what became ready, all in one
//! call.

use crate::{
    actor::{Actor, BatchSize, Called, is_too_much},
    context::Context,
};
use pgtasker_core::{Result, failpoint};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// The actor behind the queue of step results.
pub(crate) struct ResultProcessor {
    context: Context,
    size: BatchSize,
    beside: Beside,
}

/// What this actor and [`crate::slow_results::SlowResults`] tell each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside(Arc<(Notify, AtomicU64)>);

impl Beside {
    /// Successful calls of the actor behind the queue.
    pub(crate) fn calls(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }

    /// Waits until results were set aside, or for `at_most`.
    pub(crate) async fn wait(&self, at_most: Duration) {
        timeout(at_most, self.0.0.notified()).await.ok();
    }

    fn set_aside(&self) {
        self.0.0.notify_one();
    }

    fn went_on(&self) {
        self.0.1.fetch_add(1, Ordering::Relaxed);
    }
}

impl ResultProcessor {
    pub(crate) fn new(context: Context, beside: Beside) -> Self {
        Self { size: BatchSize::new(context.batch_size), context, beside }
    }

    async fn process(&mut self) -> Result<Processed> {
        let (max, id) = (self.size.now(), self.context.id);
        self.context
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select processed, enqueued, finished, next_due_ms, retried, failed, expired, \
                     set_aside
                       from tasker.process_step_results($1, $2, false)",
                )
                .bind(max)
                .bind(id)
                .fetch_one(connection)
                .await
            })
            .await
    }

    /// After a batch that took too long: one of it is too slow, or the server is. Each goes on
    /// alone, beside the others.
    async fn set_aside(&mut self, max: i32) -> Result<()> {
        let (aside,): (i32,) = self
            .context
            .connection
            .call(async |connection| {
                sqlx::query_as("select tasker.set_aside($1)").bind(max).fetch_one(connection).await
            })
            .await?;
        tracing::warn!(
            results = aside,
            "a batch of results took too long: they are processed one by one"
        );
        self.beside.set_aside();
        Ok(())
    }
}

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
    set_aside: i32,
}

impl Actor for ResultProcessor {
    const NAME: &'static str = "result_processor";

    async fn call(&mut self) -> Result<Called> {
        failpoint::reach("result_processor.before_call");
        let max = self.size.now();
        let result = self.process().await;
        self.size.adapt(&result);
        if let Err(error) = &result
            && is_too_much(error)
        {
            self.set_aside(max).await?;
        }
        let done = result?;
        self.beside.went_on();
        if done.set_aside > 0 {
            self.beside.set_aside();
        }
        if done.processed > 0 {
            failpoint::reach("result_processor.after_call");
        }
        self.context.due.announce(done.next_due_ms);
        self.context.stats.results_processed(done.processed);
        self.context.stats.steps_enqueued(done.enqueued);
        self.context.stats.tasks_finished(done.finished);
        for (name, by) in [
            ("tasker_steps_retried_total", done.retried),
            ("tasker_steps_failed_total", done.failed),
            ("tasker_lease_expiries_total", done.expired),
        ] {
            metrics::counter!(name).increment(u64::try_from(by).unwrap_or(0));
        }
        Ok(Called::of_queue(u64::try_from(done.processed).unwrap_or(0), max, &self.context.waiter))
    }

    async fn wait(&mut self) {
        self.context.waiter.wait(self.context.poll_interval).await;
    }
}
