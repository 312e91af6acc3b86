//! The way of a finished span out of the process: a bounded queue and a thread that exports from
//! it. What finds no room, or no collector, is dropped and counted; no caller waits for either.

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How often a lasting failure is told.
const REMIND: Duration = Duration::from_secs(60);

/// The spans that wait, and what became of the others.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: AtomicUsize,
    room: usize,
    full: Reminder,
    failing: Reminder,
}

impl Queue {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            room,
            full: Reminder::default(),
            failing: Reminder::default(),
        }
    }

    /// How many more spans find room.
    pub(crate) fn free(&self) -> usize {
        self.room.saturating_sub(self.waiting.load(Ordering::Relaxed))
    }

    fn enter(&self) -> bool {
        let one_more = |waiting: usize| (waiting < self.room).then_some(waiting + 1);
        let entered =
            self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !entered {
            dropped("queue_full", 1);
            if self.full.due() {
                tracing::warn!(
                    room = self.room,
                    "spans are dropped, because more end than can be exported; see \
                     OTEL_BSP_MAX_QUEUE_SIZE, OTEL_TRACES_SAMPLER"
                );
            }
        }
        entered
    }
}

/// Says what the metrics of exporting mean, and begins them at zero. Without tracing they stay
/// there.
pub fn describe_metrics() {
    metrics::describe_counter!("tasker_spans_exported_total", "Spans of traces that were exported");
    metrics::describe_counter!(
        "tasker_spans_dropped_total",
        "Spans of traces that were not exported, by reason"
    );
    metrics::counter!("tasker_spans_exported_total").increment(0);
    dropped("queue_full", 0);
    dropped("export_failed", 0);
}

fn dropped(reason: &'static str, spans: usize) {
    metrics::counter!("tasker_spans_dropped_total", "reason" => reason).increment(spans as u64);
}

/// Says when it is time to tell people again.
#[derive(Debug, Default)]
struct Reminder(Mutex<Option<Instant>>);

impl Reminder {
    fn due(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| told.elapsed() >= REMIND);
        if due {
            *told = Some(Instant::now());
        }
        due
    }

    /// Whether people had been told.
    fn over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// Exports, and says when that does not work.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    queue: Arc<Queue>,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        // Out of the queue already.
        self.queue.waiting.fetch_sub(count, Ordering::Relaxed);
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => {
                metrics::counter!("tasker_spans_exported_total").increment(count as u64);
                if self.queue.failing.over() {
                    tracing::info!("spans are exported again");
                }
            }
            Err(error) => {
                dropped("export_failed", count);
                if self.queue.failing.due() {
                    tracing::warn!(%error, "cannot export spans: they are dropped; nothing else \
                        is affected. Is a collector at OTEL_EXPORTER_OTLP_ENDPOINT?");
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Takes finished spans, from the provider and from those who know all of a span only when it is
/// over.
#[derive(Debug, Clone)]
pub(crate) struct Processor {
    batches: Arc<BatchSpanProcessor>,
    queue: Arc<Queue>,
}

impl Processor {
    /// Starts the thread that exports.
    pub(crate) fn start(
        exporter: impl SpanExporter + 'static,
        queue: Arc<Queue>,
        resource: &Resource,
    ) -> Self {
        let exporter = Watched { exporter, queue: Arc::clone(&queue) };
        let config = BatchConfigBuilder::default().with_max_queue_size(queue.room).build();
        let mut batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        batches.set_resource(resource);
        Self { batches: Arc::new(batches), queue }
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.queue.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_takes_no_more_until_something_has_left_it() {
        let queue = Queue::new(2);
        assert!(queue.enter() && queue.enter() && !queue.enter());
        assert_eq!(queue.free(), 0);
        queue.waiting.fetch_sub(1, Ordering::Relaxed);
        assert!(queue.enter());
    }

    #[test]
    fn people_are_reminded_and_not_flooded() {
        let reminder = Reminder::default();
        assert!(!reminder.over() && reminder.due() && !reminder.due());
        assert!(reminder.over() && reminder.due());
    }
}
