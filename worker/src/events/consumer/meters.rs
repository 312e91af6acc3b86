//! A consumer's metrics.

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use pgtasker_core::meters::build_info;
use std::time::Duration;

/// Handles of one consumer's metrics.
pub(super) struct ConsumerMeters {
    pub(super) done: Counter,
    pub(super) retried: Counter,
    pub(super) dead: Counter,
    pub(super) returned: Counter,
    seconds: Histogram,
}

impl ConsumerMeters {
    pub(super) fn new(namespace: &str) -> Self {
        build_info();
        describe_counter!(
            "tasker_events_consumed_total",
            Unit::Count,
            "Events read, by what came of them"
        );
        describe_histogram!(
            "tasker_event_handler_seconds",
            Unit::Seconds,
            "How long the handler of an event runs"
        );
        let consumed = |status: &'static str| {
            counter!(
                "tasker_events_consumed_total",
                "namespace" => namespace.to_owned(),
                "status" => status
            )
        };
        Self {
            done: consumed("done"),
            retried: consumed("retried"),
            dead: consumed("dead"),
            returned: consumed("returned"),
            seconds: histogram!(
                "tasker_event_handler_seconds",
                "namespace" => namespace.to_owned()
            ),
        }
    }

    /// A handler has run this long.
    pub(super) fn ran(&self, took: Duration) {
        self.seconds.record(took);
    }
}
