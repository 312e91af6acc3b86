//! What an orchestrator has done since its start: counters for its own process and for Prometheus.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reads what a running orchestrator has done. Cheap to clone and to read.
#[derive(Debug, Clone, Default)]
pub struct Stats(Arc<Mutex<Snapshot>>);

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

impl Stats {
    /// The totals now.
    pub fn snapshot(&self) -> Snapshot {
        *self.lock()
    }

    pub(crate) fn tasks_initialized(&self, by: i32) {
        let by = self.add(by, |totals| &mut totals.tasks_initialized);
        metrics::counter!("tasker_tasks_initialized_total").increment(by);
    }

    pub(crate) fn tasks_refused(&self, by: i32) {
        let by = self.add(by, |totals| &mut totals.tasks_refused);
        metrics::counter!("tasker_tasks_refused_total").increment(by);
    }

    pub(crate) fn steps_enqueued(&self, by: i32) {
        let by = self.add(by, |totals| &mut totals.steps_enqueued);
        metrics::counter!("tasker_steps_enqueued_total").increment(by);
    }

    pub(crate) fn results_processed(&self, by: i32) {
        let by = self.add(by, |totals| &mut totals.results_processed);
        metrics::counter!("tasker_results_processed_total").increment(by);
    }

    pub(crate) fn tasks_finished(&self, by: i32) {
        // The metric counts those that workers finish too: see TaskGauges.
        self.add(by, |totals| &mut totals.tasks_finished);
    }

    pub(crate) fn messages_resent(&self, by: i32) {
        let by = self.add(by, |totals| &mut totals.messages_resent);
        metrics::counter!("tasker_messages_resent_total").increment(by);
    }

    fn add(&self, by: i32, total: impl FnOnce(&mut Snapshot) -> &mut u64) -> u64 {
        let by = u64::try_from(by).unwrap_or(0);
        *total(&mut self.lock()) += by;
        by
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // Whole after each addition.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
