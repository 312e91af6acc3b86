//! The steps this process holds, from the claim until the database has the result. Leases are
//! extended for exactly these.

use crate::polls::Polls;
use serde_json::value::RawValue;
use sqlx::{
    Row, ValueRef,
    postgres::{PgRow, types::PgInterval},
    types::{
        Json,
        chrono::{DateTime, Utc},
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
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
/// The template's default, for a step that has none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// A `tasker.claim`.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) task_id: Uuid,
    /// Shared with the [`Ticket`], which outlives the claim's data.
    pub(crate) step: Arc<str>,
    pub(crate) template_id: Uuid,
    pub(crate) template_step: String,
    pub(crate) handler: String,
    pub(crate) attempt: i32,
    pub(crate) claim_no: i32,
    /// The four documents as PostgreSQL writes them: a handler reads what it asks for, and `sql`
    /// and `http` pass them on with every digit and at any depth.
    pub(crate) context: Box<RawValue>,
    pub(crate) inputs: Box<RawValue>,
    pub(crate) parents: BTreeMap<String, Box<RawValue>>,
    /// They are too large for a claim, and not in `parents`: to be read by pages.
    pub(crate) paged: bool,
    /// Of its four documents, as they came.
    pub(crate) bytes: usize,
    /// What the step saved last, see [`crate::Checkpoint`]; null: nothing.
    pub(crate) checkpoint: Box<RawValue>,
    pub(crate) timeout: Duration,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) traceparent: Option<String>,
    /// The step's own; none: what the worker asked for.
    pub(crate) lease: Option<Duration>,
    /// When it began to wait in its queue, and when that ended, by the database's clock.
    pub(crate) waited: Option<(SystemTime, SystemTime)>,
    /// How many claims of it were lost in a row before this one.
    pub(crate) lease_losses: i32,
    /// Two workers died with it: nothing runs beside it.
    pub(crate) run_alone: bool,
}

impl Claim {
    /// Claims by namespace, worker, number, lease, and handlers. Both statements begin with the
    /// attributes of the type `tasker.claim`, which are read by position.
    pub(crate) const STATEMENT: &str = "select c.* from tasker.claim_steps($1, $2, $3, $4, $5) c";

    /// The position of whether the lease of the claim before ran out.
    pub(crate) const EXPIRED: usize = 17;

    /// Submits by worker and results, and claims what follows by number, handlers, and lease.
    pub(crate) const COMPLETE_STATEMENT: &str = "\
        select (r.claim).*, r.task_id, r.step, r.claim_no, r.status \
        from tasker.complete_steps($1, $2, $3, $4, $5) r";

    /// The position of the task's id, the step, the claim's number, and the status of an answer.
    pub(crate) const ANSWER: [usize; 4] = [20, 21, 22, 23];

    pub(crate) fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let timeout: Option<PgInterval> = row.try_get(11)?;
        let value = |index: usize| row.try_get_raw(index);
        let size = |index: usize| {
            value(index).and_then(|value| value.as_bytes().map(<[u8]>::len).or(Ok(0)))
        };
        Ok(Self {
            task_id: row.try_get(0)?,
            step: row.try_get::<&str, _>(1)?.into(),
            template_id: row.try_get(2)?,
            template_step: row.try_get(3)?,
            handler: row.try_get(4)?,
            attempt: row.try_get(5)?,
            claim_no: row.try_get(6)?,
            context: document(row, 7)?,
            inputs: document(row, 8)?,
            parents: row
                .try_get::<Option<Json<_>>, _>(9)?
                .map(|Json(parents)| parents)
                .unwrap_or_default(),
            paged: value(9)?.is_null(),
            bytes: (7..=10).map(size).sum::<sqlx::Result<usize>>()?,
            checkpoint: document(row, 10)?,
            timeout: timeout.map_or(DEFAULT_TIMEOUT, duration),
            correlation_id: row.try_get(12)?,
            traceparent: row.try_get(13)?,
            lease: row.try_get::<Option<PgInterval>, _>(14)?.map(duration),
            waited: time(row, 15)?.zip(time(row, 16)?),
            lease_losses: row.try_get(18)?,
            run_alone: row.try_get(19)?,
        })
    }
}

/// The text of a document; `null` where there is none.
fn document(row: &PgRow, index: usize) -> sqlx::Result<Box<RawValue>> {
    let document: Option<Json<Box<RawValue>>> = row.try_get(index)?;
    Ok(document.map_or_else(|| RawValue::NULL.to_owned(), |Json(text)| text))
}

fn time(row: &PgRow, index: usize) -> sqlx::Result<Option<SystemTime>> {
    Ok(row.try_get::<Option<DateTime<Utc>>, _>(index)?.map(SystemTime::from))
}

/// A month counts 30 days, a negative interval nothing.
fn duration(interval: PgInterval) -> Duration {
    let days = i64::from(interval.months) * 30 + i64::from(interval.days);
    let micros = interval.microseconds.saturating_add(days.saturating_mul(86_400_000_000));
    Duration::from_micros(micros.try_into().unwrap_or_default())
}

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
    /// Of its documents.
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
/// execution is lost on the way is never held for ever.
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
    /// The step holds so much of the memory for documents.
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

    #[test]
    fn an_interval_becomes_a_duration() {
        let interval = PgInterval { months: 0, days: 1, microseconds: 1_500_000 };
        assert_eq!(duration(interval), Duration::from_millis(86_401_500));
        assert_eq!(duration(PgInterval { months: 0, days: 0, microseconds: -1 }), Duration::ZERO);
    }
}
