//! The operators' part of the SQL API. What is to run again is sent by the orchestrators, within
//! their poll interval.

use crate::{Result, TaskState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgExecutor, types::Json};
use uuid::Uuid;

/// Who acts, and why: for the audit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct By<'a> {
    /// None: the role that is logged in.
    pub who: Option<&'a str>,
    /// In words.
    pub reason: Option<&'a str>,
}

/// Which tasks [`retry_tasks`] and [`cancel_tasks`] take: those to which all that is set applies.
/// At least something must be. For [`super::list_tasks`] nothing need be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskSelection {
    /// Of this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Of templates with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of this version of their template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// In one of these states; an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<TaskState>>,
    /// One of these; an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_ids: Option<Vec<Uuid>>,
    /// Of one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// Enqueued then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// Enqueued before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_before: Option<DateTime<Utc>>,
    /// With an error of this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// With this idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// With an id that begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
}

/// As the SQL functions take it.
pub(super) fn filter_of(which: &TaskSelection) -> Json<&TaskSelection> {
    Json(which)
}

/// Runs a step in error again, with all its attempts; false when it waits or runs already.
///
/// # Errors
/// `TK004` task, `TK031` the task has finished (one in error: [`reset_task`]), `TK032` step,
/// `TK033` the step is complete or what depends on it has begun, `TK034` another transaction holds
/// it.
pub async fn retry_step(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    step: &str,
    by: By<'_>,
) -> Result<bool> {
    let retried = sqlx::query_scalar("select tasker.retry_step($1, $2, $3, $4)")
        .bind(task_id)
        .bind(step)
        .bind(by.reason)
        .bind(by.who)
        .fetch_one(executor)
        .await?;
    Ok(retried)
}

/// Settles a step by hand with `result`; false when it is complete or resolved already. A decision
/// or a batchable needs its outcome instead: which steps exist, or the cursors, and it may carry
/// the result.
///
/// # Errors
/// `TK004` task, `TK031` the task has finished, `TK032` step, `TK034` another transaction holds it,
/// `TK035` the outcome is missing or not one that the step can have.
pub async fn resolve_step(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    step: &str,
    result: Option<&Value>,
    outcome: Option<&Value>,
    by: By<'_>,
) -> Result<bool> {
    let resolved = sqlx::query_scalar("select tasker.resolve_step($1, $2, $3, $4, $5, $6)")
        .bind(task_id)
        .bind(step)
        .bind(result)
        .bind(by.reason)
        .bind(by.who)
        .bind(outcome)
        .fetch_one(executor)
        .await?;
    Ok(resolved)
}

/// Ends an unfinished task as resolved, with `result`; false when it had already finished.
///
/// # Errors
/// `TK004` when there is no such task, `TK034` when another transaction holds it.
pub async fn resolve_task(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    result: Option<&Value>,
    by: By<'_>,
) -> Result<bool> {
    let resolved = sqlx::query_scalar("select tasker.resolve_task($1, $2, $3, $4)")
        .bind(task_id)
        .bind(result)
        .bind(by.reason)
        .bind(by.who)
        .fetch_one(executor)
        .await?;
    Ok(resolved)
}

/// Lets a task in error begin again, its completed results kept; false when it has not finished.
///
/// # Errors
/// `TK004` when there is no such task, `TK031` when it has finished otherwise, `TK034` when another
/// transaction holds it.
pub async fn reset_task(executor: impl PgExecutor<'_>, task_id: Uuid, by: By<'_>) -> Result<bool> {
    let reset = sqlx::query_scalar("select tasker.reset_task($1, $2, $3)")
        .bind(task_id)
        .bind(by.reason)
        .bind(by.who)
        .fetch_one(executor)
        .await?;
    Ok(reset)
}

/// Lets up to `max` selected tasks in `blocked_by_failures` or `error` go on: what failed runs
/// again, completed results are kept. Returns how many; what somebody holds is skipped, so call
/// again until 0.
///
/// # Errors
/// `TK030` when nothing is selected.
pub async fn retry_tasks(
    executor: impl PgExecutor<'_>,
    which: &TaskSelection,
    by: By<'_>,
    max: i32,
) -> Result<i32> {
    many(executor, "select tasker.retry_tasks($1, $2, $3, $4)", which, by, max).await
}

/// Cancels up to `max` selected unfinished tasks. Returns how many; what somebody holds is skipped,
/// so call again until 0.
///
/// # Errors
/// `TK030` when nothing is selected.
pub async fn cancel_tasks(
    executor: impl PgExecutor<'_>,
    which: &TaskSelection,
    by: By<'_>,
    max: i32,
) -> Result<i32> {
    many(executor, "select tasker.cancel_tasks($1, $2, $3, $4)", which, by, max).await
}

async fn many(
    executor: impl PgExecutor<'_>,
    call: &'static str,
    which: &TaskSelection,
    by: By<'_>,
    max: i32,
) -> Result<i32> {
    let moved = sqlx::query_scalar(call)
        .bind(filter_of(which))
        .bind(by.reason)
        .bind(by.who)
        .bind(max)
        .fetch_one(executor)
        .await?;
    Ok(moved)
}

/// How many tasks are selected, in any state that the selection does not exclude.
///
/// # Errors
/// `TK030` when nothing is selected.
pub async fn count_tasks(executor: impl PgExecutor<'_>, which: &TaskSelection) -> Result<i64> {
    let count = sqlx::query_scalar("select tasker.count_tasks($1)")
        .bind(filter_of(which))
        .fetch_one(executor)
        .await?;
    Ok(count)
}
