//! The earliest time at which a step is known to become due: told by every actor, waited for by the
//! StepEnqueuer. Times are the database's clock, given as a delay from now.

use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// Where actors say when a step becomes due. Clones share what is known.
#[derive(Debug, Clone)]
pub(crate) struct DueTimes(Arc<watch::Sender<Option<Instant>>>);

impl DueTimes {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// A step becomes due in `next_due_ms`; `None` says nothing. Only the earliest is kept.
    pub(crate) fn announce(&self, next_due_ms: Option<i64>) {
        let Some(delay) = next_due_ms.map(delay) else { return };
        // A time too far to be represented is too far to wait for.
        let Some(at) = Instant::now().checked_add(delay) else { return };
        self.0.send_if_modified(|known| {
            let earlier = known.is_none_or(|known| at < known);
            if earlier {
                *known = Some(at);
            }
            earlier
        });
    }

    /// Forgets what is known; before a call that will find everything that is due. What is
    /// announced during that call stays.
    pub(crate) fn forget(&self) {
        self.0.send_if_modified(|known| {
            *known = None;
            false
        });
    }

    /// Waits for the earliest time, for one announced meanwhile too; for `at_least` to `at_most`.
    pub(crate) async fn wait(&self, at_least: Duration, at_most: Duration) {
        let (earliest, latest) = (Instant::now() + at_least, Instant::now() + at_most);
        let mut news = self.0.subscribe();
        loop {
            let due = news.borrow_and_update().map_or(latest, |due| due.min(latest));
            tokio::select! {
                () = tokio::time::sleep_until(due.max(earliest)) => return,
                // The sender lives in self, so that this is never an error.
                _ = news.changed() => {}
            }
        }
    }
}

pub(crate) fn delay(next_due_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(next_due_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(20);
    const NONE: Duration = Duration::ZERO;

    /// Whether a wait lasts about this many milliseconds: never less, and far less than what
    /// competes.
    async fn waits(due: &DueTimes, at_least: Duration, at_most: Duration, expected_ms: u128) {
        let started = Instant::now();
        due.wait(at_least, at_most).await;
        let took = started.elapsed().as_millis();
        assert!(
            (expected_ms..expected_ms + 5_000).contains(&took),
            "took {took} ms, not {expected_ms}"
        );
    }

    #[tokio::test]
    async fn the_earliest_announcement_counts() {
        let due = DueTimes::new();
        for next in [Some(17_000), None, Some(30), Some(15_000)] {
            due.announce(next);
        }
        waits(&due, NONE, POLL, 30).await;
    }

    #[tokio::test]
    async fn without_one_or_with_a_late_one_the_poll_counts() {
        let due = DueTimes::new();
        let poll = Duration::from_millis(20);
        waits(&due, NONE, poll, 20).await;
        due.announce(Some(i64::MAX));
        due.announce(Some(60_000));
        waits(&due, NONE, poll, 20).await;
    }

    #[tokio::test]
    async fn an_earlier_one_shortens_a_wait_that_has_begun() {
        let due = DueTimes::new();
        due.announce(Some(18_000));
        tokio::join!(waits(&due, NONE, POLL, 60), async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            due.clone().announce(Some(30));
            due.announce(Some(16_000));
        });
    }

    #[tokio::test]
    async fn what_is_overdue_waits_for_the_least_time() {
        let due = DueTimes::new();
        due.announce(Some(-5));
        waits(&due, Duration::from_millis(40), POLL, 40).await;
        waits(&due, NONE, POLL, 0).await;
        due.forget();
        waits(&due, NONE, Duration::from_millis(20), 20).await;
    }
}
