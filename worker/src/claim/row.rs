//! A claimed step as the database hands it out, and the statements that claim.

use pgtasker_core::bounds::STEP_TIMEOUT;
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
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use uuid::Uuid;

/// A `tasker.claim`.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) task_id: Uuid,
    /// Shared with the [`super::Ticket`], which outlives the claim's data.
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
    /// Size of its four documents, as they came.
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
            timeout: timeout.map_or(STEP_TIMEOUT, duration),
            correlation_id: row.try_get(12)?,
            traceparent: row.try_get(13)?,
            lease: row.try_get::<Option<PgInterval>, _>(14)?.map(duration),
            waited: time(row, 15)?.zip(time(row, 16)?),
            lease_losses: row.try_get(18)?,
            run_alone: row.try_get(19)?,
        })
    }
}

/// The text of a document; `null` where it is missing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_becomes_a_duration() {
        let interval = PgInterval { months: 0, days: 1, microseconds: 1_500_000 };
        assert_eq!(duration(interval), Duration::from_millis(86_401_500));
        assert_eq!(duration(PgInterval { months: 0, days: 0, microseconds: -1 }), Duration::ZERO);
    }
}
