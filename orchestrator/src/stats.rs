//! What an orchestrator has done since its start: counters for its own process and for Prometheus.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Reads what a running orchestrator has done. Cheap to clone and to read.
#[derive(Debug, Clone, Default)]
pub struct Stats(Arc<Counters>);

/// Totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Tasks whose steps have been created.
    pub tasks_initialized: u64,
    /// Tasks that failed before they had steps: their context did not fit the template.
    pub tasks_refused: u64,
    /// Steps sent to their worker queue.
    pub steps_enqueued: u64,
    /// Results of steps processed.
    pub results_processed: u64,
    /// Tasks brought to an end.
    pub tasks_finished: u64,
    /// Messages sent again because they were lost.
    pub messages_resent: u64,
}

#[derive(Debug, Default)]
struct Counters {
    tasks_initialized: AtomicU64,
    tasks_refused: AtomicU64,
    steps_enqueued: AtomicU64,
    results_processed: AtomicU64,
    tasks_finished: AtomicU64,
    messages_resent: AtomicU64,
}

impl Stats {
    /// The totals now.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            tasks_initialized: read(&self.0.tasks_initialized),
            tasks_refused: read(&self.0.tasks_refused),
            steps_enqueued: read(&self.0.steps_enqueued),
            results_processed: read(&self.0.results_processed),
            tasks_finished: read(&self.0.tasks_finished),
            messages_resent: read(&self.0.messages_resent),
        }
    }

    pub(crate) fn tasks_initialized(&self, by: i32) {
        let by = add(&self.0.tasks_initialized, by);
        metrics::counter!("tasker_tasks_initialized_total").increment(by);
    }

    pub(crate) fn tasks_refused(&self, by: i32) {
        let by = add(&self.0.tasks_refused, by);
        metrics::counter!("tasker_tasks_refused_total").increment(by);
    }

    pub(crate) fn steps_enqueued(&self, by: i32) {
        let by = add(&self.0.steps_enqueued, by);
        metrics::counter!("tasker_steps_enqueued_total").increment(by);
    }

    pub(crate) fn results_processed(&self, by: i32) {
        let by = add(&self.0.results_processed, by);
        metrics::counter!("tasker_results_processed_total").increment(by);
    }

    pub(crate) fn tasks_finished(&self, by: i32) {
        // The metric counts those that workers finish too: see TaskGauges.
        add(&self.0.tasks_finished, by);
    }

    pub(crate) fn messages_resent(&self, by: i32) {
        let by = add(&self.0.messages_resent, by);
        metrics::counter!("tasker_messages_resent_total").increment(by);
    }
}

fn add(counter: &AtomicU64, by: i32) -> u64 {
    let by = u64::try_from(by).unwrap_or(0);
    counter.fetch_add(by, Ordering::Relaxed);
    by
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together() {
        let stats = Stats::default();
        stats.clone().results_processed(3);
        stats.results_processed(4);
        stats.steps_enqueued(-1);
        let expected = Snapshot { results_processed: 7, ..Snapshot::default() };
        assert_eq!(stats.snapshot(), expected);
    }
}
