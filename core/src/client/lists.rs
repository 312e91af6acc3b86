//! Lists in pages, each by the SQL function that knows its order.

use super::{
    DeadLetter, DeadLetterFilter, StepOverview, TaskOverview, TaskSelection, operator::filter_of,
    unwrapped, views,
};
use crate::{Result, StepState, json::Document};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// [`Listed::next`] of the page before; none: the first page.
    pub after: Option<String>,
    /// Items at most, from 1 to 10,000.
    pub limit: u32,
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// One more than is given, to see whether there is more.
    fn asked(&self) -> i32 {
        i32::try_from(self.limit.saturating_add(1)).unwrap_or(i32::MAX)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listed<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins; none: there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Listed<T> {
    fn new(mut items: Vec<T>, page: &Page, key: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(key);
        Self { items, next }
    }
}

/// A key of a list is a uuid; what is none was not made by us.
fn uuid_of(after: Option<&str>) -> Result<Option<Uuid>> {
    after.map(|text| Uuid::parse_str(text).map_err(|_| super::refused_cursor(text))).transpose()
}

/// The newest tasks first.
///
/// # Errors
/// `TK030` the selection, `TK008` the page's limit or start.
pub async fn list_tasks(
    executor: impl PgExecutor<'_>,
    which: &TaskSelection,
    page: &Page,
) -> Result<Listed<TaskOverview>> {
    let rows = sqlx::query_scalar(views::LIST_TASKS)
        .bind(filter_of(which))
        .bind(uuid_of(page.after.as_deref())?)
        .bind(page.asked())
        .fetch_all(executor)
        .await?;
    Ok(Listed::new(unwrapped(rows), page, |task: &TaskOverview| task.task_id.to_string()))
}

/// Which steps of a task to list; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepFilter {
    /// In one of these states; empty: in any.
    pub states: Vec<StepState>,
    /// Only instances of this step of the template.
    pub template_step: Option<String>,
}

/// The steps of a task, roots first, instances by number.
///
/// # Errors
/// `TK004` task, `TK032` the page begins after a step that is not there, `TK008` the page's limit.
pub async fn list_steps(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    filter: &StepFilter,
    page: &Page,
) -> Result<Listed<StepOverview>> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let rows: Vec<(Document<StepOverview>, bool)> = sqlx::query_as(views::LIST_STEPS)
        .bind(task_id)
        .bind(Some(states).filter(|states| !states.is_empty()))
        .bind(&filter.template_step)
        .bind(&page.after)
        .bind(page.asked())
        .fetch_all(executor)
        .await?;
    let more = rows.iter().any(|(_, more)| *more);
    let steps = rows.into_iter().map(|(Document(step), _)| step).collect();
    let mut listed = Listed::new(steps, page, |step: &StepOverview| step.step.clone());
    listed.next =
        listed.next.or_else(|| listed.items.last().filter(|_| more).map(|step| step.step.clone()));
    Ok(listed)
}

/// One step.
///
/// # Errors
/// `TK004` task, `TK032` step.
pub async fn show_step(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    step: &str,
) -> Result<StepOverview> {
    let Document(step) =
        sqlx::query_scalar(views::SHOW_STEP).bind(task_id).bind(step).fetch_one(executor).await?;
    Ok(step)
}

/// Dead letters in the order to look at them.
///
/// # Errors
/// `TK040` the page begins after an entry that is not there, `TK008` the page's limit or start.
pub async fn list_dead_letters(
    executor: impl PgExecutor<'_>,
    filter: &DeadLetterFilter,
    page: &Page,
) -> Result<Listed<DeadLetter>> {
    let rows = sqlx::query_scalar(views::LIST_DEAD_LETTERS)
        .bind(&filter.reason)
        .bind(&filter.status)
        .bind(filter.task_id)
        .bind(uuid_of(page.after.as_deref())?)
        .bind(page.asked())
        .bind(&filter.id_prefix)
        .fetch_all(executor)
        .await?;
    Ok(Listed::new(unwrapped(rows), page, |entry: &DeadLetter| entry.entry_id.to_string()))
}

/// A row of `tasker.task_staleness`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Staleness {
    /// The unfinished task.
    pub task_id: Uuid,
    /// Of its template.
    pub namespace: String,
    /// Of its template.
    pub name: String,
    /// Where it stands.
    pub state: crate::TaskState,
    /// Minutes since it last moved.
    pub minutes_in_state: f64,
    /// When that is too long; none: never in this state.
    pub threshold_minutes: Option<f64>,
    /// Minutes since it began.
    pub minutes: f64,
    /// When that is too long.
    pub max_duration_minutes: f64,
    /// `healthy`, `warning` from 80 % of either, or `stale`.
    pub staleness: String,
}

/// Unfinished tasks, the stalest first; with `staleness` only those.
///
/// # Errors
/// Database errors only.
pub async fn list_staleness(
    executor: impl PgExecutor<'_>,
    staleness: Option<&str>,
    limit: u32,
) -> Result<Vec<Staleness>> {
    let rows = sqlx::query_scalar(views::STALENESS).bind(staleness).bind(i64::from(limit));
    Ok(unwrapped(rows.fetch_all(executor).await?))
}
