//! `Batchable`: cutting work into cursors, going on from checkpoints, and reading what the
//! instances brought.

use crate::{StepContext, StepError, fields::typed};
use pgtasker_core::{
    StepOutcome, bounds::RESULTS, connection::OwnConnection, db::Retry, pooler::DbConnection,
    state::StepState,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, to_value, value::RawValue};
use sqlx::{Row, postgres::PgRow, types::Json};
use std::{marker::PhantomData, ops::Range, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What is read at once, unless the handler says otherwise.
const PAGE: u32 = RESULTS.default;
/// The most that `tasker.batch_results` gives at once.
const MAX_PAGE: u32 = RESULTS.most;
/// The most that `max_instances` in `tasker.settings` can be; what it is, the database knows.
const MAX_CURSORS: usize = 1_000_000;

/// The items from `start` up to, and without, `end`. Any other JSON may be a cursor too; of this
/// form the database counts the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The first item.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
}

impl Cursor {
    /// How many items; none where the end is before the start.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no items.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// To go through them.
    pub fn range(self) -> Range<u64> {
        self.start..self.end
    }
}

impl From<Range<u64>> for Cursor {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// What a step saved before it yielded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint<C = Value, A = Value> {
    /// Where to go on.
    pub cursor: C,
    /// Items done since the step's first claim.
    pub items_processed: u64,
    /// What has come of them.
    pub accumulated: A,
}

/// For the handlers of batches: the batchable step, the batch worker, and the convergence;
/// checkpoints are for any step.
///
/// ```
/// # use pgtasker_worker::{StepContext, StepError, StepOutcome};
/// use pgtasker_worker::{Batchable, Cursor};
///
/// async fn cut(ctx: StepContext) -> Result<StepOutcome, StepError> {
///     let rows: u64 = ctx.parent("count")?;
///     ctx.batches(ctx.split(0..rows, 8))
/// }
///
/// async fn add(ctx: StepContext) -> Result<StepOutcome, StepError> {
///     let cursor: Cursor = ctx.cursor()?;
///     let (from, sum) = match ctx.last_checkpoint::<u64, u64>()? {
///         Some(last) => (last.cursor, last.accumulated),
///         None => (cursor.start, 0),
///     };
///     let to = cursor.end.min(from + 1_000);
///     let sum = sum + (from..to).sum::<u64>();
///     if to < cursor.end {
///         return ctx.checkpoint(to, to - cursor.start, sum);
///     }
///     Ok(StepOutcome::success(sum))
/// }
///
/// async fn total(ctx: StepContext) -> Result<StepOutcome, StepError> {
///     let (mut total, mut pages) = (0, ctx.batch("add")?.pages::<u64>());
///     while let Some(page) = pages.next_page().await? {
///         total += page.into_iter().filter_map(|instance| instance.result).sum::<u64>();
///     }
///     Ok(StepOutcome::success(total))
/// }
/// ```
pub trait Batchable {
    /// The range in `parts` parts, in order, whose lengths differ by one at most. None is empty:
    /// fewer items than parts give as many parts as items, and no item gives none. Zero parts are
    /// taken as one.
    fn split(&self, range: impl Into<Cursor>, parts: u64) -> impl Iterator<Item = Cursor>;

    /// The range in parts of `size` items, in order; the last may have fewer, none is empty. A size
    /// of zero is taken as one.
    fn split_by(&self, range: impl Into<Cursor>, size: u64) -> impl Iterator<Item = Cursor>;

    /// Ends a batchable step: one instance of its batch worker for each of these cursors. None:
    /// what follows runs with an empty set. [`StepOutcome::with_result`] adds a result,
    /// [`StepOutcome::for_worker`] names the batch worker where the step has several. More than
    /// `max_instances` (100,000, in `tasker.settings`) fail the step for good.
    ///
    /// # Errors
    /// A permanent one, when a cursor is no JSON, or when they are more than 1,000,000, which no
    /// setting allows; what follows is not asked for.
    fn batches<C: Serialize>(
        &self,
        cursors: impl IntoIterator<Item = C>,
    ) -> Result<StepOutcome, StepError>;

    /// The cursor of this instance.
    ///
    /// # Errors
    /// A permanent one, when this step is no instance of a batch, or that names the field, when the
    /// cursor does not fit `T`.
    fn cursor<T: DeserializeOwned>(&self) -> Result<T, StepError>;

    /// What this step saved last, on whatever worker; None: it has saved nothing and begins.
    ///
    /// # Errors
    /// A permanent one that names the field, when it does not fit.
    fn last_checkpoint<C: DeserializeOwned, A: DeserializeOwned>(
        &self,
    ) -> Result<Option<Checkpoint<C, A>>, StepError>;

    /// Saves where to go on, how many items have been done since the step's first claim, and what
    /// has come of them. The step goes back to its queue, its attempt counter restarts; the next
    /// claim, here or elsewhere, has it as [`Batchable::last_checkpoint`]. For writes in this
    /// database that go with it: [`crate::StepTransaction::complete_with`].
    ///
    /// # Errors
    /// A permanent one, when a value is no JSON.
    fn checkpoint(
        &self,
        cursor: impl Serialize,
        items_processed: u64,
        accumulated: impl Serialize,
    ) -> Result<StepOutcome, StepError>;

    /// What the instances of the batch worker `step`, a parent of this step, brought.
    ///
    /// # Errors
    /// A permanent one, when there is no such parent or it is no batch worker.
    fn batch(&self, step: &str) -> Result<Batch, StepError>;
}

impl Batchable for StepContext {
    fn split(&self, range: impl Into<Cursor>, parts: u64) -> impl Iterator<Item = Cursor> {
        let range = range.into();
        let parts = parts.max(1).min(range.len());
        (0..parts).map(move |n| {
            // The first ones have one more, until none is left over.
            let (length, more) = (range.len() / parts, range.len() % parts);
            let start = range.start + n * length + n.min(more);
            Cursor { start, end: start + length + u64::from(n < more) }
        })
    }

    fn split_by(&self, range: impl Into<Cursor>, size: u64) -> impl Iterator<Item = Cursor> {
        let (range, size) = (range.into(), size.max(1));
        (0..range.len().div_ceil(size)).map(move |n| {
            let start = range.start + n * size;
            Cursor { start, end: start.saturating_add(size).min(range.end) }
        })
    }

    fn batches<C: Serialize>(
        &self,
        cursors: impl IntoIterator<Item = C>,
    ) -> Result<StepOutcome, StepError> {
        let too_many = || {
            let text = "more than 1,000,000 cursors: no batch may have that many instances \
                        (max_instances in tasker.settings): let each cover more";
            StepError::permanent(text).code("invalid_outcome")
        };
        let mut cursors = cursors.into_iter();
        // Before the memory is taken, where the number is known.
        if cursors.size_hint().0 > MAX_CURSORS {
            return Err(too_many());
        }
        let some = cursors.by_ref().take(MAX_CURSORS).map(|cursor| json("cursor", cursor));
        let some = some.collect::<Result<_, _>>()?;
        if cursors.next().is_some() {
            return Err(too_many());
        }
        Ok(StepOutcome::batches(some))
    }

    fn cursor<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        // Instances carry a number in their names, see [`StepContext::step`].
        if *self.claim.step == *self.claim.template_step {
            let text = format!("step {} is no instance of a batch: it has no cursor", self.step());
            return Err(StepError::permanent(text).code("invalid_input"));
        }
        self.inputs()
    }

    fn last_checkpoint<C: DeserializeOwned, A: DeserializeOwned>(
        &self,
    ) -> Result<Option<Checkpoint<C, A>>, StepError> {
        typed("checkpoint", &self.claim.checkpoint)
    }

    fn checkpoint(
        &self,
        cursor: impl Serialize,
        items_processed: u64,
        accumulated: impl Serialize,
    ) -> Result<StepOutcome, StepError> {
        let (cursor, accumulated) = (json("cursor", cursor)?, json("accumulated", accumulated)?);
        Ok(StepOutcome::checkpoint(cursor, items_processed, accumulated))
    }

    fn batch(&self, step: &str) -> Result<Batch, StepError> {
        Ok(Batch { summary: self.parent(step)?, step: step.to_owned(), ctx: self.clone() })
    }
}

fn json(what: &str, value: impl Serialize) -> Result<Value, StepError> {
    to_value(value).map_err(|error| {
        StepError::permanent(format!("the {what} is no JSON: {error}")).code("invalid_outcome")
    })
}

/// What a batch worker is among the parents of a step.
#[derive(Debug, Deserialize)]
struct Summary {
    instances: u64,
    complete: u64,
    failed: u64,
    results: Option<Vec<Box<RawValue>>>,
}

/// What the instances of a batch worker brought; see [`Batchable::batch`].
#[derive(Debug)]
pub struct Batch {
    step: String,
    summary: Summary,
    ctx: StepContext,
}

impl Batch {
    /// How many instances there were.
    pub fn instances(&self) -> u64 {
        self.summary.instances
    }

    /// How many of them are complete.
    pub fn complete(&self) -> u64 {
        self.summary.complete
    }

    /// How many failed for good.
    pub fn failed(&self) -> u64 {
        self.summary.failed
    }

    /// The results of those that are complete, in order, where the claim carried them; None: they
    /// are too many or too large, and [`Batch::pages`] reads them. A handler that must work for any
    /// number uses the pages only.
    ///
    /// # Errors
    /// A permanent one that names the field, when a result does not fit `T`.
    pub fn results<T: DeserializeOwned>(&self) -> Result<Option<Vec<T>>, StepError> {
        let Some(results) = &self.summary.results else { return Ok(None) };
        let one = |(n, result): (usize, &RawValue)| {
            typed(&format!("parents.{}.results[{n}]", self.step), result)
        };
        results.iter().map(AsRef::as_ref).enumerate().map(one).collect::<Result<_, _>>().map(Some)
    }

    /// All instances in order, in pages of 1,000, whether the claim carried their results or not.
    /// Each page is read on a connection of the worker's pool, which is free again before it is
    /// looked at.
    pub fn pages<T: DeserializeOwned>(&self) -> BatchPages<T> {
        let cancelled = self.ctx.cancelled.clone();
        BatchPages {
            connection: self.ctx.worker.as_ref().map(|worker| worker.connection(false, &cancelled)),
            cancelled,
            task_id: self.ctx.task_id(),
            step: self.step.clone(),
            size: PAGE,
            after: 0,
            instances: self.summary.instances,
            result: PhantomData,
        }
    }
}

/// One instance of a batch worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance<T> {
    /// Its number, from 1.
    pub number: i32,
    /// Its name, as in `load_007`.
    pub step: String,
    /// `Complete`, or how else it ended.
    pub state: StepState,
    /// Its cursor.
    pub inputs: Value,
    /// None: it is not complete.
    pub result: Option<T>,
    /// Why it failed.
    pub error: Option<Value>,
}

/// Reads instances in pages; see [`Batch::pages`].
#[derive(Debug)]
pub struct BatchPages<T> {
    /// None outside of a worker.
    connection: Option<OwnConnection>,
    cancelled: CancellationToken,
    task_id: Uuid,
    step: String,
    size: u32,
    /// The last number read.
    after: i32,
    /// The last number there is.
    instances: u64,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> BatchPages<T> {
    /// How many instances a page has, from 1 to 100,000; 1,000 by default.
    pub fn page_size(mut self, instances: u32) -> Self {
        self.size = instances.clamp(1, MAX_PAGE);
        self
    }

    /// Begins behind the instance with this number.
    pub fn after(mut self, number: i32) -> Self {
        self.after = number;
        self
    }

    /// The next instances; None: there are no more. Waits while the database is away.
    ///
    /// # Errors
    /// A permanent one that names the instance, when a result does not fit `T`. A retryable one,
    /// when the step is cancelled meanwhile.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Instance<T>>>, StepError> {
        if u64::from(self.after.unsigned_abs()) >= self.instances {
            return Ok(None);
        }
        let rows = self.read(self.after).await?;
        let page = rows.iter().map(instance).collect::<Result<Vec<_>, StepError>>()?;
        // Pages of large results are short ones; an empty one is the end in any case.
        let Some(last) = page.last() else { return Ok(None) };
        self.after = last.number;
        Ok(Some(page))
    }

    async fn read(&mut self, after: i32) -> Result<Vec<PgRow>, StepError> {
        let Some(connection) = &mut self.connection else {
            return Err(StepError::permanent("only a step that a worker runs can read results"));
        };
        let mut retry = Retry::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let read = async |connection: &mut DbConnection<'_>| {
                sqlx::query(
                    "select instance, step, state, inputs, result, error from \
                    tasker.batch_results($1, $2, $3, $4)",
                )
                .bind(self.task_id)
                .bind(&self.step)
                .bind(after)
                .bind(i32::try_from(self.size).unwrap_or(i32::MAX))
                .fetch_all(connection)
                .await
            };
            let error = match connection.call(read).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            if let pgtasker_core::Error::Refused { code, .. } = &error {
                return Err(StepError::permanent(error.to_string()).code(code));
            }
            if !error.is_transient() || self.cancelled.is_cancelled() {
                return Err(StepError::from(error));
            }
            // Reading changes nothing: no attempt is spent on a database that is away for a moment.
            self.cancelled.run_until_cancelled(sleep(retry.failed(&error).0)).await;
        }
    }
}

fn instance<T: DeserializeOwned>(row: &PgRow) -> Result<Instance<T>, StepError> {
    let step: String = row.try_get(1)?;
    let result: Option<Json<Box<RawValue>>> = row.try_get(4)?;
    let result =
        result.map(|Json(result)| typed(&format!("{step}.result"), &result)).transpose()?;
    // jsonb holds depths that serde_json does not read.
    let json = |index: usize, name: &str| {
        row.try_get::<Option<Value>, _>(index).map_err(|error| {
            StepError::permanent(format!("{step}.{name} cannot be read: {error}"))
                .code("invalid_input")
        })
    };
    let (inputs, error) = (json(3, "inputs")?.unwrap_or_default(), json(5, "error")?);
    let state: String = row.try_get(2)?;
    Ok(Instance {
        number: row.try_get(0)?,
        state: state.parse().map_err(StepError::permanent)?,
        step,
        inputs,
        result,
        error,
    })
}
