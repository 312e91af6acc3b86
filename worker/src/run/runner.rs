//! Runs one step: finds its handler and configuration, calls it under its timeout with panics
//! caught, and passes on what came of it.

use super::{
    Ran, Slot,
    step_trace::StepTrace,
    storable::{storable, trimmed},
};
use crate::{
    StepContext, StepError,
    builtin::sql,
    claim::{Claim, Ticket, dispatch::Dispatched},
    error::panic_text,
    events::outgoing,
    handler::{Callable, Handler, Registered},
    meters::Meters,
    shared::Shared,
    submit::{Completed, Report, SHUT_DOWN, StepResult},
};
use futures_util::FutureExt;
use pgtasker_core::{Failure, StepOutcome, failpoint};
use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// How long a step is left to other workers when this one cannot run it: at first, and at most. It
/// doubles for as long as nothing else comes between.
const RELEASE_DELAY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// Bounds the names remembered as warned about.
const MAX_WARNED: usize = 1_000;

/// Runs until the senders are gone and the channel is empty. Each step has its permit already, so
/// that nothing waits here and no more tasks exist than permits.
pub(crate) async fn run(
    mut steps: mpsc::Receiver<Dispatched>,
    runner: Arc<Runner>,
    tracker: TaskTracker,
) {
    while let Some(step) = steps.recv().await {
        runner.meters().dispatch_depth.set(steps.len());
        tracker.spawn(Arc::clone(&runner).run(step));
    }
}

/// What every step's task needs.
pub(crate) struct Runner {
    shared: Arc<Shared>,
    completions: mpsc::Sender<Completed>,
    /// Fires when the grace period is over.
    abandon: CancellationToken,
    /// Handler names already warned about.
    missing: Mutex<HashSet<String>>,
    back: Mutex<Back>,
}

/// For how long steps are given back: twice as long whenever that time has passed and it is still
/// so.
struct Back {
    delay: Duration,
    since: Option<Instant>,
}

impl Back {
    const NONE: Self = Self { delay: RELEASE_DELAY[0], since: None };

    fn next(&mut self, now: Instant) -> Duration {
        match self.since {
            Some(since) if now.saturating_duration_since(since) < self.delay => {}
            Some(_) => {
                self.delay = (self.delay * 2).min(RELEASE_DELAY[1]);
                self.since = Some(now);
            }
            None => self.since = Some(now),
        }
        self.delay
    }
}

impl Runner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        completions: mpsc::Sender<Completed>,
        abandon: CancellationToken,
    ) -> Self {
        Self {
            shared,
            completions,
            abandon,
            missing: Mutex::default(),
            back: Mutex::new(Back::NONE),
        }
    }

    /// Gives a step back that cannot be run here.
    fn give_back(&self, reason: String) -> Report {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        Report::give_back(back.next(Instant::now()), reason)
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Runs a step and sends its report. The permit is given back once the report has a place in
    /// the completion channel: claiming goes on while it is submitted, but not without bound.
    pub(crate) async fn run(self: Arc<Self>, step: Dispatched) {
        let Dispatched { claim, ticket, permit, alone, claimed } = step;
        let trace = StepTrace::begin(&claim, self.shared.worker_id);
        let slot = Arc::new(Slot::new(permit, &self.shared.overdue));
        let report = self
            .report(claim, &ticket, &trace, claimed, &slot)
            .instrument(trace.span.clone())
            .await;
        trace.end(report.as_ref());
        // A handler that goes on has one place, and others run beside it.
        drop(alone);
        let Some(report) = report else { return Slot::end(slot) };
        match self.completions.reserve().await {
            Ok(place) => {
                Slot::end(slot);
                place.send(Completed { ticket, report });
            }
            Err(_) => {
                Slot::end(slot);
                tracing::warn!(
                    task_id = %ticket.key.task_id,
                    correlation_id = ticket.correlation(),
                    step = %ticket.key.step,
                    "ended after the worker had stopped: the step runs again elsewhere"
                );
            }
        }
    }

    /// None: nothing is left to be told to the database.
    async fn report(
        &self,
        claim: Claim,
        ticket: &Ticket,
        trace: &StepTrace,
        claimed: Instant,
        slot: &Arc<Slot>,
    ) -> Option<Report> {
        let losses = claim.lease_losses;
        let handler = match self.handler(&claim) {
            Ok(handler) => handler,
            Err(report) => return Some(report),
        };
        if claim.paged && !handler.callable.reads_pages() {
            return Some(unrun(too_large()));
        }
        let template = self.shared.templates.template(claim.template_id);
        let template = match self.abandon.run_until_cancelled(template).await {
            Some(Ok(template)) => template,
            None => return Some(Report::give_back(Duration::ZERO, SHUT_DOWN)),
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot read the handler's config");
                let reason = format!("cannot read the handler's config: {error}");
                return Some(self.give_back(reason));
            }
        };
        trace.template(&template);
        let ctx = StepContext {
            config: template.config(&claim.template_step),
            template,
            claim: Arc::new(claim),
            state: Arc::clone(&self.shared.state),
            cancelled: ticket.cancelled.clone(),
            worker: Some(Arc::clone(&self.shared)),
            own: Arc::default(),
            http: self.shared.http.clone(),
            traceparent: trace.traceparent.clone(),
            slot: Arc::downgrade(slot),
        };
        let (own, after) = (Arc::clone(&ctx.own), ctx.clone());
        failpoint::reach("worker.before_handler");
        let started = Instant::now();
        self.meters().handover_seconds.record(started.duration_since(claimed));
        let call = async {
            tokio::select! {
                biased;
                ran = self.call(&handler.callable, ctx, ticket) => Some(ran),
                () = self.abandon.cancelled() => None,
            }
        };
        let ran = call.await;
        failpoint::reach("worker.after_handler");
        let took = started.elapsed();
        // Whatever the handler did or met after it had completed its step by itself.
        let ran = if own.is_submitted() { Some(Ran::Submitted) } else { ran };
        handler.meters.ran(took, ran.as_ref());
        if !matches!(ran, Some(Ran::GiveBack { .. })) {
            self.shared.handlers.has(after.handler());
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Back::NONE;
        }
        let Some(ran) = ran else {
            ticket.cancelled.cancel();
            let reason = "the worker was shut down before the handler ended";
            return Some(Report::give_back(Duration::ZERO, reason));
        };
        self.told(ran, &after, took, losses).await
    }

    /// What is told to the database of a handler that ended. None: it knows already.
    async fn told(
        &self,
        ran: Ran,
        ctx: &StepContext,
        took: Duration,
        losses: i32,
    ) -> Option<Report> {
        match ran {
            Ran::Submitted => None,
            Ran::GiveBack { reason, lacks_handler } => {
                if lacks_handler {
                    self.warn_missing(&ctx.claim);
                    if self.shared.handlers.disown(ctx.handler()) {
                        return Some(Report::give_back(RELEASE_DELAY[0], reason));
                    }
                }
                Some(self.give_back(reason))
            }
            Ran::Lost(reason) => {
                tracing::warn!(
                    %reason,
                    "the database was lost: the step goes back, and this is no attempt"
                );
                Some(Report::lost(reason, losses))
            }
            Ran::Outcome(outcome) => {
                let outcome = storable(ctx.own.refused(outcome));
                if let StepOutcome::Failure(failure) = &outcome {
                    log_failure(failure);
                }
                let events = outgoing(ctx, &self.shared.publishers, &outcome, &self.abandon).await;
                Some(Report::Result(StepResult::new(outcome, events, took)))
            }
        }
    }

    /// The step's handler, or what to report if it is missing.
    fn handler(&self, claim: &Claim) -> Result<Arc<Registered>, Report> {
        match self.shared.handlers.find(&claim.handler) {
            Ok(Some(handler)) => Ok(handler),
            Ok(None) => {
                self.warn_missing(claim);
                let reason = format!("no handler {} in this worker", claim.handler);
                Err(self.give_back(reason))
            }
            Err(panic) => {
                let text = format!("the resolver panicked: {}", panic_text(panic.as_ref()));
                Err(unrun(failure(text, "panic")))
            }
        }
    }

    async fn call(&self, callable: &Callable, ctx: StepContext, ticket: &Ticket) -> Ran {
        match callable {
            Callable::Function(handler) => {
                let name = ctx.claim.handler.clone();
                let call = call_function(handler.as_ref(), ctx);
                ticket.polls.watch(&name, call).await
            }
            // Boxed, so that steps of other handlers do not carry its size.
            Callable::Sql => Box::pin(sql::run(&self.shared, &ctx, ticket)).await,
        }
    }

    fn warn_missing(&self, claim: &Claim) {
        let mut warned = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < MAX_WARNED && !warned.contains(&claim.handler) {
            warned.insert(claim.handler.clone());
            tracing::warn!(
                "no such handler in this worker: such steps are left to other workers of the \
                 namespace"
            );
        }
    }
}

/// The failure of a step whose parents have more results than its handler can be given.
fn too_large() -> StepOutcome {
    let text = "the results of its parents are too large for a claim (max_claim_bytes of \
        tasker.settings): \
                only a paged_handler, which reads them by pages, can run it";
    StepOutcome::Failure(StepError::permanent(text).code("input_too_large").into())
}

/// The report of a step whose handler was not called.
fn unrun(outcome: StepOutcome) -> Report {
    Report::Result(StepResult::new(outcome, Vec::new(), Duration::ZERO))
}

/// What came of a function: its own outcome, or a retryable failure when it takes too long or
/// panics; or nothing, where the connection of its own transaction was lost.
async fn call_function(handler: &dyn Handler, ctx: StepContext) -> Ran {
    let own = Arc::clone(&ctx.own);
    let timeout = ctx.claim.timeout;
    let cancelled = ctx.cancelled.clone();
    let keeps_time = handler.keeps_time();
    // The call itself runs inside as well: a plain function that returns a future may panic before
    // it does.
    let call = AssertUnwindSafe(async move { handler.call(ctx).await }).catch_unwind();
    let ran = if keeps_time { Ok(call.await) } else { tokio::time::timeout(timeout, call).await };
    Ran::Outcome(match ran {
        Ok(Ok(Ok(outcome))) => trimmed(outcome),
        Ok(Ok(Err(error))) if error.gives_back.is_some() => {
            let lacks_handler = error.gives_back == Some(true);
            return Ran::GiveBack { reason: error.message().to_owned(), lacks_handler };
        }
        Ok(Ok(Err(error))) if error.is_outage && own.has_begun() => {
            return Ran::Lost(error.message().to_owned());
        }
        Ok(Ok(Err(error))) => StepOutcome::Failure(error.into()),
        Ok(Err(panic)) => {
            failure(format!("handler panicked: {}", panic_text(panic.as_ref())), "panic")
        }
        Err(_) => {
            cancelled.cancel();
            StepOutcome::Failure(StepError::timed_out(timeout).into())
        }
    })
}

/// What a worker would submit for a handler that runs without one.
pub(crate) async fn judge(handler: &dyn Handler, ctx: StepContext) -> StepOutcome {
    match call_function(handler, ctx).await {
        Ran::Outcome(outcome) => outcome,
        Ran::Submitted => StepOutcome::success(()),
        Ran::GiveBack { reason, .. } | Ran::Lost(reason) => StepOutcome::retryable(reason),
    }
}

fn failure(message: String, code: &str) -> StepOutcome {
    StepOutcome::Failure(StepError::retryable(message).code(code).into())
}

fn log_failure(failure: &Failure) {
    let Failure { message, retryable, code, .. } = failure;
    let code = code.as_deref().unwrap_or_default();
    if *retryable {
        tracing::info!(error = message, code, "step failed; it may be tried again");
    } else {
        tracing::warn!(error = message, code, "step failed for good");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::context;
    use serde_json::json;

    async fn run(ctx: StepContext, handler: impl Handler) -> Failure {
        match call_function(&handler, ctx).await {
            Ran::Outcome(StepOutcome::Failure(failure)) => failure,
            _ => panic!("no failure"),
        }
    }

    fn plain() -> StepContext {
        context(json!({}), json!({}), json!({}))
    }

    #[tokio::test]
    async fn a_panic_becomes_a_retryable_failure() {
        let number = 7;
        let failure = run(plain(), move |_| async move { panic!("bad number {number}") }).await;
        assert_eq!(
            (failure.message.as_str(), failure.retryable),
            ("handler panicked: bad number 7", true)
        );
        // Before there is a future at all.
        let early = |_: StepContext| -> std::future::Ready<Result<StepOutcome, StepError>> {
            panic!("early")
        };
        assert_eq!(run(plain(), early).await.message, "handler panicked: early");
    }

    #[tokio::test]
    async fn a_timeout_fires_the_token_and_becomes_a_retryable_failure() {
        let mut ctx = plain();
        Arc::get_mut(&mut ctx.claim).unwrap().timeout = Duration::from_millis(20);
        let token = ctx.cancelled();
        let failure = run(ctx, |_| std::future::pending()).await;
        assert_eq!((failure.message.as_str(), failure.retryable), ("timed out after 20ms", true));
        assert_eq!(failure.code.as_deref(), Some("timeout"));
        assert!(token.is_cancelled());
    }

    #[test]
    fn steps_are_given_back_for_ever_longer() {
        let (mut back, mut now) = (Back::NONE, Instant::now());
        assert_eq!(back.next(now), back.next(now), "those of one claim, for as long");
        let seconds = (0..8).map(|_| {
            let delay = back.next(now);
            now += delay;
            delay.as_secs()
        });
        assert_eq!(seconds.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test]
    async fn an_error_becomes_a_failure_and_an_outcome_stays() {
        let failure = run(plain(), |_| async { Err(StepError::permanent("no").code("c")) }).await;
        assert_eq!((failure.retryable, failure.code.as_deref()), (false, Some("c")));
        let failure = run(plain(), |_| async { Ok(StepOutcome::retryable("again")) }).await;
        assert_eq!((failure.message.as_str(), failure.retryable), ("again", true));
    }
}
