//! The worker's metrics, looked up once at start: the hot path only adds and sets.

use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::Semaphore;

/// Handles of all metrics that are not per handler.
pub(crate) struct Meters {
    pub(crate) claims: Counter,
    pub(crate) claimed_steps: Counter,
    pub(crate) released: Counter,
    pub(crate) dispatch_depth: Gauge,
    pub(crate) completion_depth: Gauge,
    permits_in_use: Gauge,
    accepted: Counter,
    duplicate: Counter,
    stale: Counter,
    rejected: Counter,
    other: Counter,
}

impl Meters {
    pub(crate) fn new(concurrency: usize) -> Self {
        gauge!("tasker_worker_permits").set(concurrency as f64);
        let results = |status: &'static str| counter!("tasker_results_total", "status" => status);
        Self {
            claims: counter!("tasker_claims_total"),
            claimed_steps: counter!("tasker_claimed_steps_total"),
            released: counter!("tasker_released_steps_total"),
            dispatch_depth: gauge!("tasker_worker_dispatch_depth"),
            completion_depth: gauge!("tasker_worker_completion_depth"),
            permits_in_use: gauge!("tasker_worker_permits_in_use"),
            accepted: results("accepted"),
            duplicate: results("duplicate"),
            stale: results("stale"),
            rejected: results("rejected"),
            other: results("other"),
        }
    }

    /// Counts one answer of `submit_results`.
    pub(crate) fn result(&self, status: &str) {
        let counter = match status {
            "accepted" => &self.accepted,
            "duplicate" => &self.duplicate,
            "stale" => &self.stale,
            "rejected" => &self.rejected,
            _ => &self.other,
        };
        counter.increment(1);
    }

    pub(crate) fn permits_in_use(&self, permits: &Semaphore, concurrency: usize) {
        self.permits_in_use.set(concurrency.saturating_sub(permits.available_permits()) as f64);
    }
}
