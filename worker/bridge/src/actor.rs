//! FfiCompletionActor: the handler of every step whose code is written in another language. It puts
//! the step into the queue, and what the language answers is its outcome.

use crate::{
    call::{Call, Calls, WAIT, cancel},
    queue::Queue,
    reply::Reply,
};
use ::metrics::{Unit, describe_counter, describe_histogram};
use pgtasker_worker::{Handler, HandlerFuture, StepContext, StepError, StepOutcome};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::yield_now, time::sleep_until};

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
            let first = queue.step(Arc::clone(&call));
            let running = Running { call, calls, queue: Arc::clone(&queue), why: Some("stopping") };
            if first.is_some() {
                // Steps that are about to begin come with the same poll: else a poll of one would
                // precede every large one. A step alone waits for nobody.
                yield_now().await;
            }
            drop(first);
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
        // Nobody waits for an answer any more. A step that was polled keeps its place until the
        // language has returned.
        if let Some(why) = self.why
            && !self.withdraw()
        {
            self.queue.urgent(cancel(self.call.id, why));
        }
    }
}

impl Running {
    /// Takes a step back that was never polled, and forgets it. False: the language has it.
    fn withdraw(&mut self) -> bool {
        let is_withdrawn = self.queue.withdraw(self.call.id);
        if is_withdrawn {
            self.why = None;
            self.calls.remove(self.call.id);
        }
        is_withdrawn
    }

    /// The time of a step begins when the language takes it, and a step that nobody takes goes
    /// back.
    async fn outcome(
        mut self,
        mut reply: oneshot::Receiver<String>,
    ) -> Result<StepOutcome, StepError> {
        let (limit, cancelled) = (self.call.ctx.timeout(), self.call.ctx.cancelled());
        // One timer and one wake for a step that is polled and answered: what becomes of it is
        // looked at when the time is over in which a poll should have come.
        let mut over = pin!(sleep_until((self.call.began + limit).into()));
        let mut is_told = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut reply => {
                    self.why = None;
                    // Without an answer the bridge itself is gone.
                    let answer = answer.map_err(|_| StepError::give_back("the worker stops"))?;
                    return self.judged(Reply::read(&answer));
                }
                () = &mut over => {
                    let since = match self.call.polled() {
                        Some(since) => since,
                        None if self.withdraw() => return Err(not_polled(limit)),
                        // Taken just now.
                        None => self.call.since(),
                    };
                    if since.elapsed() < limit {
                        over.as_mut().reset((since + limit).into());
                        continue;
                    }
                    self.why = Some("timeout");
                    cancelled.cancel();
                    return Err(StepError::timed_out(limit));
                }
                () = cancelled.cancelled(), if !is_told => {
                    if self.withdraw() {
                        return Err(StepError::retryable("cancelled").code("cancelled"));
                    }
                    is_told = true;
                    self.queue.urgent(cancel(self.call.id, "cancelled"));
                }
            }
        }
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

fn not_polled(limit: Duration) -> StepError {
    let text = format!("no poll took the step within {limit:?}");
    tracing::warn!("{text}: does the program do something else?");
    StepError::give_back(text)
}
