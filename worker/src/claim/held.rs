//! The steps this process holds, from the claim until the database has the result. Leases are
//! extended for exactly these.

use crate::run::Polls;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::field::{DisplayValue, display};
use uuid::Uuid;

/// How long nothing is asked about the leases, at most.
pub(crate) const LONGEST_ROUND: Duration = Duration::from_secs(1);
/// Bytes of the documents of all steps held, beyond which no more are claimed: each claim brings up
/// to `max_claim_bytes` of `tasker.settings` more.
const MAX_BYTES: usize = 64 << 20;
/// Names a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StepKey {
    pub(crate) task_id: Uuid,
    pub(crate) step: Arc<str>,
}

/// What is held of one step.
#[derive(Debug)]
struct Held {
    correlation_id: Option<Uuid>,
    claim_no: i32,
    since: Instant,
    lease: Duration,
    /// Size of its documents.
    bytes: usize,
    /// When the lease began to count: at the claim, or when it was extended last.
    extended: Instant,
    cancelled: CancellationToken,
    polls: Arc<Polls>,
}

/// All steps held by this process, by name.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Mutex<HashMap<StepKey, Held>>,
    /// A step was claimed whose lease may ask for shorter rounds.
    claimed: Notify,
    /// A step is held no longer.
    freed: Notify,
}

/// Holding one step. Dropping it lets go: the lease is extended no more, so that a step whose
/// execution is lost on the way is not held forever.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) key: StepKey,
    correlation_id: Option<Uuid>,
    pub(crate) claim_no: i32,
    pub(crate) cancelled: CancellationToken,
    pub(crate) polls: Arc<Polls>,
    /// How often the database has answered `busy` for it.
    pub(crate) busy: u32,
    claims: Arc<Claims>,
}

impl Claims {
    /// Holds a step that was claimed at `since`. If this process still held an earlier claim of the
    /// same step, that one's lease had run out, and its handler is told.
    pub(crate) fn hold(
        self: &Arc<Self>,
        key: StepKey,
        correlation_id: Option<Uuid>,
        claim_no: i32,
        since: Instant,
        lease: Duration,
    ) -> Ticket {
        let cancelled = CancellationToken::new();
        let polls = Arc::<Polls>::default();
        let held = Held {
            correlation_id,
            claim_no,
            since,
            lease,
            bytes: 0,
            extended: since,
            cancelled: cancelled.clone(),
            polls: Arc::clone(&polls),
        };
        if lease / 6 < LONGEST_ROUND {
            self.claimed.notify_one();
        }
        if let Some(earlier) = self.lock().insert(key.clone(), held) {
            earlier.cancelled.cancel();
        }
        Ticket {
            key,
            correlation_id,
            claim_no,
            cancelled,
            polls,
            busy: 0,
            claims: Arc::clone(self),
        }
    }

    /// The handlers that have kept their thread for at least `age`, each time they do so once, and
    /// for how long.
    pub(crate) fn blocking(&self, age: Duration) -> Vec<(StepKey, String, Duration)> {
        let all = self.lock();
        let blocks = all.iter().filter_map(|(key, held)| {
            held.polls.blocks(age).map(|(handler, time)| (key.clone(), handler, time))
        });
        blocks.collect()
    }

    /// Whether the documents of all steps held leave room for more.
    pub(crate) fn have_room(&self) -> bool {
        self.lock().values().map(|held| held.bytes).sum::<usize>() < MAX_BYTES
    }

    /// Waits for that.
    pub(crate) async fn room(&self) {
        while !self.have_room() {
            self.freed.notified().await;
        }
    }

    /// How many steps are held.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Those held for at least `age`.
    pub(crate) fn older_than(&self, age: Duration) -> Vec<(StepKey, i32)> {
        let old = |held: &Held| held.since.elapsed() >= age;
        self.lock()
            .iter()
            .filter(|(_, held)| old(held))
            .map(|(key, held)| (key.clone(), held.claim_no))
            .collect()
    }

    /// Waits for the time of the next round: [`LONGEST_ROUND`], or less where a lease is short.
    pub(crate) async fn next_round(&self) {
        let begun = tokio::time::Instant::now();
        while timeout_at(begun + self.round(), self.claimed.notified()).await.is_ok() {}
    }

    /// Twice in a third of the shortest lease, so that no lease is extended much later than after a
    /// third.
    fn round(&self) -> Duration {
        let shortest = self.lock().values().map(|held| held.lease / 6).min();
        shortest.map_or(LONGEST_ROUND, |round| round.min(LONGEST_ROUND))
    }

    /// Those of which a third of the lease will have passed by the round after this one.
    pub(crate) fn due(&self) -> Vec<(StepKey, i32)> {
        let round = self.round();
        let due = |held: &Held| held.extended.elapsed() + round >= held.lease / 3;
        self.lock()
            .iter()
            .filter(|(_, held)| due(held))
            .map(|(key, held)| (key.clone(), held.claim_no))
            .collect()
    }

    /// The leases of these count from `at`.
    pub(crate) fn extended(&self, claims: &[(StepKey, i32)], at: Instant) {
        let mut all = self.lock();
        for (key, claim_no) in claims {
            if let Some(held) = all.get_mut(key).filter(|held| held.claim_no == *claim_no) {
                held.extended = at;
            }
        }
    }

    /// Tells the handler that its result will not count, and lets go of the step. None when it is
    /// no longer held, or by a later claim; else the task's correlation id, if any.
    pub(crate) fn lose(&self, key: &StepKey, claim_no: i32) -> Option<Option<Uuid>> {
        let held = self.remove(key, claim_no)?;
        held.cancelled.cancel();
        Some(held.correlation_id)
    }

    fn remove(&self, key: &StepKey, claim_no: i32) -> Option<Held> {
        let mut all = self.lock();
        let held = if all.get(key).is_some_and(|held| held.claim_no == claim_no) {
            all.remove(key)
        } else {
            None
        };
        self.freed.notify_one();
        held
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StepKey, Held>> {
        // No code that can panic runs under this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Notes the memory that its documents take.
    pub(crate) fn weigh(&self, bytes: usize) {
        let mut all = self.claims.lock();
        if let Some(held) = all.get_mut(&self.key).filter(|held| held.claim_no == self.claim_no) {
            held.bytes = bytes;
        }
    }

    /// The task's correlation id, for the log.
    pub(crate) fn correlation(&self) -> Option<DisplayValue<Uuid>> {
        self.correlation_id.map(display)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.claims.remove(&self.key, self.claim_no);
    }
}

/// The `p_claims` of `extend_leases` and `release_steps`.
pub(crate) fn claims_json<'a>(claims: impl Iterator<Item = (&'a StepKey, i32)>) -> Value {
    let element = |(key, claim_no): (&StepKey, i32)| {
        json!({
            "task_id": key.task_id,
            "step": &*key.step,
            "claim_no": claim_no,
        })
    };
    claims.map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn key(step: &str) -> StepKey {
        StepKey { task_id: Uuid::nil(), step: step.into() }
    }

    #[test]
    fn a_dropped_ticket_lets_go() {
        let claims = Arc::new(Claims::default());
        let ticket = claims.hold(key("a"), None, 1, Instant::now(), LEASE);
        assert_eq!((claims.len(), claims.older_than(Duration::ZERO).len()), (1, 1));
        assert!(claims.older_than(Duration::from_secs(60)).is_empty());
        drop(ticket);
        assert_eq!(claims.len(), 0);
    }

    #[tokio::test]
    async fn large_documents_leave_no_room_until_their_steps_have_ended() {
        let claims = Arc::new(Claims::default());
        let tickets = ["a", "b"].map(|step| claims.hold(key(step), None, 1, Instant::now(), LEASE));
        tickets.iter().for_each(|ticket| ticket.weigh(MAX_BYTES / 2));
        assert!(!claims.have_room());
        let ended = async { drop(tickets) };
        tokio::join!(claims.room(), ended);
    }

    #[test]
    fn a_new_claim_of_the_same_step_cancels_the_earlier_one() {
        let claims = Arc::new(Claims::default());
        let first = claims.hold(key("a"), None, 1, Instant::now(), LEASE);
        let second = claims.hold(key("a"), None, 2, Instant::now(), LEASE);
        assert!(first.cancelled.is_cancelled());
        assert!(claims.lose(&first.key, first.claim_no).is_none());
        drop(first);
        assert_eq!(claims.older_than(Duration::ZERO), vec![(second.key.clone(), 2)]);
        assert!(claims.lose(&second.key, 2).is_some());
        assert!(second.cancelled.is_cancelled());
    }

    #[tokio::test]
    async fn a_short_lease_brings_the_next_round_forward() {
        let claims = Arc::new(Claims::default());
        let long = claims.hold(key("long"), None, 1, Instant::now(), LEASE);
        assert_eq!(claims.round(), LONGEST_ROUND);
        let short = claims.hold(key("short"), None, 1, Instant::now(), LONGEST_ROUND);
        assert_eq!(claims.round(), LONGEST_ROUND / 6);
        // Woken by the claim, it waits for the shorter round.
        claims.next_round().await;
        assert_eq!(claims.due(), vec![(short.key.clone(), 1)]);
        claims.extended(&[(short.key.clone(), 1), (long.key.clone(), 2)], Instant::now() + LEASE);
        assert!(claims.due().is_empty());
    }
}
