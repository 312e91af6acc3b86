//! What one look sees, and the rates between two.

use chrono::{DateTime, Utc};
use pgtasker_client::{
    Client, DeadLetterCount, QueueKind, QueueOverview, Result, Sample, WorkerOverview,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// At most this many of the newest tasks are counted by state, so that the cost does not grow with
/// their number.
pub const NEWEST: i32 = 1000;
/// They are counted again after this time, which is more work than all else.
const RECOUNT: Duration = Duration::from_secs(5);
/// Templates in the sample, at most.
const TEMPLATES: u32 = 1000;

/// Where the newest tasks of the last hour stand.
#[derive(Debug, Clone, Serialize)]
pub struct Tasks {
    /// All of them.
    pub newest: i64,
    pub complete: i64,
    pub failed: i64,
    pub blocked: i64,
    pub cancelled: i64,
    pub unfinished: i64,
    #[serde(skip)]
    counted: Instant,
}

impl Tasks {
    async fn count(client: &dyn Client) -> Result<Self> {
        let counted = Instant::now();
        let sample = Sample { max_tasks: NEWEST, ..Sample::default() };
        let rows = client.failure_rates(&sample, TEMPLATES).await?;
        let mut all = Self::none(counted);
        for row in rows {
            all.newest += row.tasks;
            all.complete += row.complete;
            all.failed += row.failed;
            all.blocked += row.blocked;
            all.cancelled += row.cancelled;
            all.unfinished += row.unfinished;
        }
        Ok(all)
    }

    pub(super) fn none(counted: Instant) -> Self {
        Self { newest: 0, complete: 0, failed: 0, blocked: 0, cancelled: 0, unfinished: 0, counted }
    }
}

/// One look.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    pub at: DateTime<Utc>,
    pub tasks: Tasks,
    pub dead_letters: Vec<DeadLetterCount>,
    pub queues: Vec<QueueOverview>,
    pub workers: Vec<WorkerOverview>,
    /// For the rates: the clock of the wall may jump.
    #[serde(skip)]
    pub taken: Instant,
}

impl Snapshot {
    /// Looks; tasks are not counted again where `tasks` is new enough.
    pub async fn take(client: &dyn Client, tasks: Option<Tasks>) -> Result<Self> {
        let counted = async {
            match tasks {
                Some(tasks) if tasks.counted.elapsed() < RECOUNT => Ok(tasks),
                _ => Tasks::count(client).await,
            }
        };
        let queues = async { client.list_queues().await.map(|queues| (queues, Instant::now())) };
        let ((queues, taken), workers, dead_letters, tasks) =
            tokio::try_join!(queues, client.list_workers(), client.dead_letter_counts(), counted)?;
        Ok(Self { at: Utc::now(), tasks, dead_letters, queues, workers, taken })
    }
}

/// What happened in a second, between two looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rates {
    pub tasks: f64,
    /// Steps sent to workers.
    pub steps: f64,
    /// Messages sent, by queue.
    pub queues: BTreeMap<String, f64>,
}

impl Rates {
    fn between(before: &Snapshot, after: &Snapshot) -> Option<Self> {
        let seconds = after.taken.checked_duration_since(before.taken)?.as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let mut rates = Self::default();
        for queue in &after.queues {
            let Some(old) = before.queues.iter().find(|old| old.queue == queue.queue) else {
                continue;
            };
            // A recreated queue counts from 0.
            let rate = (queue.total - old.total).max(0) as f64 / seconds;
            match (&queue.kind, queue.queue.as_str()) {
                (QueueKind::Worker, _) => rates.steps += rate,
                (_, "orchestration_task_requests") => rates.tasks += rate,
                _ => {}
            }
            rates.queues.insert(queue.queue.clone(), rate);
        }
        Some(rates)
    }
}

/// The last look, and the rates since the one before.
#[derive(Debug, Default, Serialize)]
pub struct View {
    #[serde(flatten)]
    latest: Option<Snapshot>,
    rates: Option<Rates>,
}

impl View {
    /// Takes another look in.
    pub fn add(&mut self, snapshot: Snapshot) {
        self.rates = self.latest.as_ref().and_then(|before| Rates::between(before, &snapshot));
        self.latest = Some(snapshot);
    }

    pub fn latest(&self) -> Option<&Snapshot> {
        self.latest.as_ref()
    }

    pub fn rates(&self) -> Option<&Rates> {
        self.rates.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::draw::tests::snapshot, *};

    #[test]
    fn rates_are_differences_of_counters_over_the_time_between() {
        let (mut view, before) = (View::default(), snapshot());
        let mut after = before.clone();
        after.taken += Duration::from_secs(2);
        after.queues[0].total += 10;
        after.queues[2].total += 5;
        // Recreated in between.
        after.queues[3].total = 0;
        view.add(before);
        assert!(view.rates().is_none());
        view.add(after);
        let rates = view.rates().unwrap();
        assert_eq!((rates.tasks, rates.steps), (5.0, 2.5));
    }
}
