//! Calls the handler with one event, under its timeout and with panics caught, and decides what
//! comes of the event.

use super::shared::{EventHandler, EventSlot, Settings, Shared};
use crate::{StepError, error::panic_text};
use futures_util::FutureExt;
use pgtasker_core::{DomainEvent, Failure, db::Delays};
use pgtasker_telemetry::{KeyValue, Tracing};
use serde_json::Value;
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::{Instrument, Span, field};

/// No delay grows any more after this many steps.
const LONGEST_ROW: u32 = 64;

/// A message as it was read.
pub(super) struct Message {
    pub(super) msg_id: i64,
    /// How often it has been read, this time included.
    pub(super) attempt: u32,
    /// Or why not even JSON can be made of it.
    pub(super) event: Result<Value, String>,
    /// Before the call that read it.
    pub(super) read_at: Instant,
}

/// What comes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// Its handler was dropped at shutdown.
    Return,
    Retry {
        delay: Duration,
    },
    Dead {
        error: String,
    },
}

/// What came of one, to be told to the database. The event is in hand until that has happened.
pub(super) struct Handled {
    pub(super) msg_id: i64,
    pub(super) read_at: Instant,
    pub(super) verdict: Verdict,
    pub(super) _permit: Arc<OwnedSemaphorePermit>,
}

/// Starts the handlers. When all clones are gone, what came of the last event has been sent.
#[derive(Clone)]
pub(super) struct Handling {
    pub(super) shared: Arc<Shared>,
    handled: mpsc::Sender<Handled>,
}

impl Handling {
    pub(super) fn new(shared: Arc<Shared>, handled: mpsc::Sender<Handled>) -> Self {
        Self { shared, handled }
    }

    /// Handles a message on a task of its own.
    pub(super) fn start(&self, message: Message, permit: OwnedSemaphorePermit) {
        let this = self.clone();
        self.shared.running.spawn(async move {
            let (msg_id, read_at, permit) = (message.msg_id, message.read_at, Arc::new(permit));
            let verdict = this.verdict(message, EventSlot { _permit: Arc::clone(&permit) }).await;
            // Has room for as many as there are permits; closed only when the consumer was dropped.
            this.handled.send(Handled { msg_id, read_at, verdict, _permit: permit }).await.ok();
        });
    }

    async fn verdict(&self, message: Message, slot: EventSlot) -> Verdict {
        let Message { msg_id, attempt, event, .. } = message;
        let settings = &self.shared.settings;
        let event: DomainEvent = match event
            .and_then(|event| serde_json::from_value(event).map_err(|error| error.to_string()))
        {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(
                    msg_id,
                    error,
                    "a message in the queue of events is no event: it becomes a dead letter"
                );
                return Verdict::Dead { error: format!("not a domain event: {error}") };
            }
        };
        let span = span(&event, attempt);
        if attempt > settings.max_attempts {
            let error = format!(
                "read {} times without an answer: each time its consumer died, was shut down, or \
                 lost the event by being late",
                attempt - 1
            );
            span.in_scope(|| tracing::warn!(error, "the event becomes a dead letter"));
            return Verdict::Dead { error };
        }
        let tracing = pgtasker_telemetry::active();
        if let Some(tracing) = tracing {
            join_trace(tracing, &span, &event);
        }
        let started = Instant::now();
        let call = call(&self.shared.handler, event, slot, settings.timeout());
        let call = call.instrument(span.clone());
        let failure = self.shared.abandon.run_until_cancelled(call).await;
        self.shared.meters.ran(started.elapsed());
        let _in = span.enter();
        let failure = match failure {
            None => {
                tracing::info!("shut down before the handler ended: the event goes back");
                return Verdict::Return;
            }
            Some(Ok(())) => return Verdict::Done,
            Some(Err(error)) => Failure::from(error),
        };
        if let Some(tracing) = tracing {
            tracing.fail(&span, &failure.message);
        }
        failed(settings, failure, attempt)
    }
}

/// At the highest level: every log line about an event names it.
fn span(event: &DomainEvent, attempt: u32) -> Span {
    tracing::error_span!(
        "event",
        event_id = %event.id,
        event = event.name,
        task_id = %event.task_id,
        correlation_id = event.correlation_id.map(field::display),
        attempt,
        trace_id = field::Empty,
    )
}

/// The handler's span belongs to the trace of the task that announced the event.
fn join_trace(tracing: &Tracing, span: &Span, event: &DomainEvent) {
    let trace = tracing.task(event.task_id, event.traceparent.as_deref());
    let adopted = tracing.adopt(span, &trace, format!("event {}", event.name));
    span.record("trace_id", field::display(adopted.unwrap_or_else(|| trace.root()).trace_id()));
    tracing.describe(span, [KeyValue::new("namespace", event.namespace.clone())]);
}

/// A panic, and taking too long, are failures that may pass.
async fn call(
    handler: &EventHandler,
    event: DomainEvent,
    slot: EventSlot,
    timeout: Duration,
) -> Result<(), StepError> {
    // The call itself runs inside as well: a plain function that returns a future may panic before
    // it does.
    let call = AssertUnwindSafe(async move { handler(event, slot).await }).catch_unwind();
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let text = format!("the handler panicked: {}", panic_text(panic.as_ref()));
            Err(StepError::retryable(text).code("panic"))
        }
        Err(_) => Err(StepError::retryable(format!("the handler took longer than {timeout:?}"))
            .code("timeout")),
    }
}

/// What comes of an event whose handler failed.
fn failed(settings: &Settings, failure: Failure, attempt: u32) -> Verdict {
    let Failure { message, retryable, code, retry_after_ms } = failure;
    let what = match &code {
        Some(code) => format!("{code}: {message}"),
        None => message,
    };
    if !retryable {
        tracing::warn!(error = what, "the event cannot be handled: it becomes a dead letter");
        return Verdict::Dead { error: format!("refused by its handler: {what}") };
    }
    if attempt >= settings.max_attempts {
        tracing::warn!(error = what, "the event has no attempt left: it becomes a dead letter");
        return Verdict::Dead { error: format!("failed {attempt} times, at last with: {what}") };
    }
    let delay = retry_after_ms.map_or_else(|| backoff(settings, attempt), Duration::from_millis);
    tracing::info!(error = what, ?delay, "the event will be tried again");
    Verdict::Retry { delay }
}

/// The delay after this many failures.
fn backoff(settings: &Settings, attempt: u32) -> Duration {
    let (first, longest) = settings.backoff;
    let mut delays = Delays::new(first, longest);
    for _ in 1..attempt.min(LONGEST_ROW) {
        delays.next();
    }
    delays.next().min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(first: u64, longest: u64) -> Settings {
        let backoff = (Duration::from_secs(first), Duration::from_secs(longest));
        Settings { backoff, max_attempts: 3, ..Settings::default() }
    }

    #[test]
    fn delays_grow_up_to_the_longest() {
        let settings = settings(10, 60);
        for _ in 0..100 {
            let first = backoff(&settings, 1).as_secs_f64();
            let third = backoff(&settings, 3).as_secs_f64();
            let last = backoff(&settings, u32::MAX).as_secs_f64();
            // 10, 22.5, and 60 seconds, give or take half.
            assert!((5.0..=15.0).contains(&first), "{first}");
            assert!((11.25..=33.75).contains(&third), "{third}");
            assert!((30.0..=60.0).contains(&last), "{last}");
        }
        assert_eq!(backoff(&self::settings(0, 0), 5), Duration::ZERO);
    }

    #[test]
    fn the_last_attempt_and_a_permanent_failure_end_in_a_dead_letter() {
        let settings = settings(1, 1);
        let retryable =
            || StepError::retryable("busy").code("bank").retry_after(Duration::from_secs(7)).into();
        assert_eq!(
            failed(&settings, retryable(), 2),
            Verdict::Retry { delay: Duration::from_secs(7) }
        );
        let error = "failed 3 times, at last with: bank: busy".to_owned();
        assert_eq!(failed(&settings, retryable(), 3), Verdict::Dead { error });
        let error = "refused by its handler: no".to_owned();
        assert_eq!(
            failed(&settings, StepError::permanent("no").into(), 1),
            Verdict::Dead { error }
        );
    }
}
