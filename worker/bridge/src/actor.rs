//! FfiCompletionActor: the handler of every step whose code is written in another language. It puts
//! the step into the queue, and what the language answers is its outcome.

use crate::{
    call::{Call, Calls, cancel},
    queue::Queue,
    reply::Reply,
};
use ::metrics::{Unit, describe_counter, describe_histogram, histogram};
use pgtasker_worker::{Handler, HandlerFuture, StepContext, StepError, StepOutcome};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    time::{sleep_until, timeout},
};

/// A step that waits longer for a poll is worth a warning: the language is busy with something
/// else.
const LONG_WAIT: Duration = Duration::from_secs(1);
/// How long a step waits until the language takes it.
pub(crate) const WAIT: &str = "tasker_bridge_wait_seconds";
/// Answers that nobody waited for any more.
pub(crate) const LATE: &str = "tasker_bridge_late_answers_total";

/// See the module.
pub(crate) struct FfiCompletionActor {
    pub(crate) calls: Arc<Calls>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) reads_pages: bool,
}

impl FfiCompletionActor {
    pub(crate) fn new(calls: &Arc<Calls>, queue: &Arc<Queue>, reads_pages: bool) -> Self {
        describe_histogram!(WAIT, Unit::Seconds, "How long a step waits until a poll takes it");
        describe_counter!(LATE, Unit::Count, "Answers whose steps had ended");
        Self { calls: Arc::clone(calls), queue: Arc::clone(queue), reads_pages }
    }
}

impl Handler for FfiCompletionActor {
    fn call(&self, ctx: StepContext) -> HandlerFuture {
        let (calls, queue) = (Arc::clone(&self.calls), Arc::clone(&self.queue));
        Box::pin(async move {
            let (call, reply) = calls.step(ctx);
            queue.step(Arc::clone(&call));
            let running = Running { call, calls, queue, why: Some("stopping") };
            running.outcome(reply).await
        })
    }

    fn reads_pages(&self) -> bool {
        self.reads_pages
    }

    fn keeps_time(&self) -> bool {
        true
    }
}

/// Dropped before its end, it asks the language to stop.
struct Running {
    call: Arc<Call>,
    calls: Arc<Calls>,
    queue: Arc<Queue>,
    /// Why the language is to stop; None: it has answered.
    why: Option<&'static str>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(why) = self.why {
            self.stop(why);
        }
    }
}

impl Running {
    /// Nobody waits for an answer any more. A step that was never polled is forgotten; any other
    /// keeps its place until the language has returned.
    fn stop(&self, why: &'static str) {
        if self.queue.withdraw(self.call.id) {
            self.calls.remove(self.call.id);
        } else {
            self.queue.urgent(cancel(self.call.id, why));
        }
    }

    async fn outcome(
        mut self,
        mut reply: oneshot::Receiver<Reply>,
    ) -> Result<StepOutcome, StepError> {
        let (limit, cancelled) = (self.call.ctx.timeout(), self.call.ctx.cancelled());
        let since = match self.polled(limit).await {
            Ok(since) => since,
            Err(error) => {
                self.why = None;
                return Err(error);
            }
        };
        let mut is_told = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut reply => {
                    self.why = None;
                    // Without an answer the bridge itself is gone.
                    let answer = answer.map_err(|_| StepError::give_back("the worker stops"))?;
                    return self.judged(answer);
                }
                () = sleep_until((since + limit).into()) => {
                    self.why = Some("timeout");
                    cancelled.cancel();
                    return Err(StepError::timed_out(limit));
                }
                () = cancelled.cancelled(), if !is_told => {
                    is_told = true;
                    self.queue.urgent(cancel(self.call.id, "cancelled"));
                }
            }
        }
    }

    /// When the language took it. Its time begins then, and a step that nobody takes goes back.
    async fn polled(&self, limit: Duration) -> Result<Instant, StepError> {
        let (began, cancelled) = (Instant::now(), self.call.ctx.cancelled());
        let since = tokio::select! {
            biased;
            since = timeout(limit, self.call.polled()) => since,
            () = cancelled.cancelled() => {
                if self.queue.withdraw(self.call.id) {
                    self.calls.remove(self.call.id);
                    return Err(StepError::retryable("cancelled").code("cancelled"));
                }
                Ok(self.call.since())
            }
        };
        let since = match since {
            Ok(since) => since,
            Err(_) if self.queue.withdraw(self.call.id) => {
                self.calls.remove(self.call.id);
                let text = format!("no poll took the step within {limit:?}");
                tracing::warn!("{text}: does the program do something else?");
                return Err(StepError::give_back(text));
            }
            Err(_) => self.call.since(),
        };
        let waited = since.saturating_duration_since(began);
        histogram!(WAIT).record(waited);
        if waited > LONG_WAIT {
            tracing::warn!(?waited, "a step waited for a poll: is a handler blocking?");
        }
        Ok(since)
    }

    fn judged(&self, reply: Reply) -> Result<StepOutcome, StepError> {
        match reply {
            Reply::Outcome(StepOutcome::Failure(failure)) => match self.call.told() {
                // The worker's own words, handed back: they may say more than a failure can.
                Some(told) if failure == told.clone().into() => Err(told),
                _ => Ok(StepOutcome::Failure(failure)),
            },
            Reply::Outcome(outcome) => Ok(outcome),
            Reply::Release => {
                let name = self.call.ctx.handler();
                Err(StepError::no_handler(format!("no handler {name} in this worker")))
            }
            Reply::Submitted if self.call.has_committed() => Ok(StepOutcome::success(())),
            Reply::Submitted => Err(Reply::invalid("no transaction of its own has committed")),
            Reply::Invalid(why) => Err(Reply::invalid(&why)),
        }
    }
}
