//! Tasks: enqueue, look at, cancel, retry, and resolve them.

use super::{task_graph, unwrapped, uuid_of};
use crate::types::{
    By, Instances, Listed, NewTask, Page, Staleness, StepTransition, TaskDetails, TaskGraph,
    TaskOverview, TaskSelection, TaskStatus, TaskTransition,
};
use pgtasker_core::{Error, HowStale, Result, json::Document, pooler::Limited};
use serde_json::Value;
use sqlx::{PgExecutor, types::Json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// `duration` as milliseconds: the text of an interval depends on the session.
macro_rules! with_duration {
    ($rest:literal) => {
        concat!(
            "select to_jsonb(v) - 'duration' || jsonb_build_object('duration_ms', ",
            "(extract(epoch from v.duration) * 1000)::float8) from ",
            $rest
        )
    };
}

const LIST_TASKS: &str = with_duration!("tasker.list_tasks($1, $2, $3) v");
const TASK: &str = with_duration!("tasker.task_overview v where v.task_id = $1");
const STALENESS: &str = "select to_jsonb(v) from tasker.task_staleness v where \
    $1::text is null or v.staleness = $1 \
     order by greatest(v.minutes_in_state / v.threshold_minutes, v.minutes / \
     v.max_duration_minutes) desc, v.task_id limit $2";
const TASK_TRANSITIONS: &str =
    "select to_jsonb(v) from tasker.task_audit v where v.task_id = $1 order by v.transition_id";
const STEP_TRANSITIONS: &str =
    "select to_jsonb(v) from tasker.step_audit v where v.task_id = $1 order by v.transition_id";
const STEP_TRANSITIONS_PAGE: &str = "select v.transition_id, to_jsonb(v) from \
    tasker.step_audit v \
     where v.task_id = $1 and v.transition_id > $2 order by v.transition_id limit $3";

/// Enqueues a task and returns its id. In the caller's transaction: rolled back, nothing happened.
///
/// # Errors
/// `TK001` namespace, `TK002` template, `TK003` version, `TK005` context, `TK006` idempotency key,
/// `TK008` run_at, `TK019` a context or key over its limit.
pub async fn enqueue_task(executor: impl PgExecutor<'_>, task: &NewTask) -> Result<Uuid> {
    let sql = "select tasker.enqueue_task($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let id = sqlx::query_scalar(sql)
        .bind(&task.namespace)
        .bind(&task.name)
        .bind(&task.context)
        .bind(&task.version)
        .bind(task.priority)
        .bind(task.run_at)
        .bind(&task.idempotency_key)
        .bind(task.correlation_id)
        .bind(&task.traceparent)
        .bind(task.notify)
        .fetch_one(executor)
        .await?;
    Ok(id)
}

/// Enqueues a task for each context, all or none, and returns their ids in the same order.
///
/// # Errors
/// `TK001`, `TK002`, `TK005` as for [`enqueue_task`]; `TK019`: more contexts than one call takes
/// (100,000, `max_contexts` of `tasker.settings`), or larger ones.
pub async fn enqueue_tasks(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    name: &str,
    contexts: &[Value],
) -> Result<Vec<Uuid>> {
    let ids = sqlx::query_scalar("select tasker.enqueue_tasks($1, $2, $3)")
        .bind(namespace)
        .bind(name)
        .bind(contexts)
        .fetch_all(executor)
        .await?;
    Ok(ids)
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
    let rows = sqlx::query_scalar(LIST_TASKS)
        .bind(Json(which))
        .bind(uuid_of(page.after.as_deref())?)
        .bind(page.asked())
        .fetch_all(executor)
        .await?;
    Ok(Listed::new(unwrapped(rows), page, |task: &TaskOverview| task.task_id.to_string()))
}

/// A task without its steps.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn show_task(executor: impl PgExecutor<'_>, task_id: Uuid) -> Result<TaskOverview> {
    let task: Option<Document<TaskOverview>> =
        sqlx::query_scalar(TASK).bind(task_id).fetch_optional(executor).await?;
    task.map(|Document(task)| task).ok_or_else(|| Error::Refused {
        code: "TK004".to_owned(),
        message: format!("there is no task {task_id}"),
        hint: Some("tasker task list shows the newest tasks".to_owned()),
    })
}

/// The status of a task.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn task_status(executor: impl PgExecutor<'_>, task_id: Uuid) -> Result<TaskStatus> {
    let Document(status) = sqlx::query_scalar("select tasker.task_status($1)")
        .bind(task_id)
        .fetch_one(executor)
        .await?;
    Ok(status)
}

/// The results of the leaf steps by name; none until the task is complete.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn task_result(executor: impl PgExecutor<'_>, task_id: Uuid) -> Result<Option<Value>> {
    let result: Option<Document<Value>> = sqlx::query_scalar("select tasker.task_result($1)")
        .bind(task_id)
        .fetch_one(executor)
        .await?;
    Ok(result.map(|Document(result)| result))
}

/// The context of a task: its input, as it was enqueued.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn task_context(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
) -> Result<serde_json::Value> {
    let context =
        sqlx::query_scalar("select tasker.task_context($1)").bind(task_id).fetch_one(executor);
    let Document(context) = context.await?;
    Ok(context)
}

/// The audit of a task and of its steps, both oldest first.
///
/// # Errors
/// Database errors only; of a task that is not there it is empty.
pub async fn task_transitions(
    db: impl Into<Limited<'_>>,
    task_id: Uuid,
) -> Result<(Vec<TaskTransition>, Vec<StepTransition>)> {
    let db = db.into();
    let of_task = sqlx::query_scalar(TASK_TRANSITIONS).bind(task_id).fetch_all(db).await?;
    let of_steps = sqlx::query_scalar(STEP_TRANSITIONS).bind(task_id).fetch_all(db).await?;
    Ok((unwrapped(of_task), unwrapped(of_steps)))
}

/// The page of the audit of a task's steps after the transition `after`, oldest first, and where
/// the next page begins. The first page also has the task's own audit, all of it.
///
/// # Errors
/// Database errors only; of a task that is not there it is empty.
pub async fn task_transitions_page(
    db: impl Into<Limited<'_>>,
    task_id: Uuid,
    after: Option<i64>,
    limit: u32,
) -> Result<(Vec<TaskTransition>, Vec<StepTransition>, Option<i64>)> {
    let db = db.into();
    let of_task = match after {
        None => sqlx::query_scalar(TASK_TRANSITIONS).bind(task_id).fetch_all(db).await?,
        Some(_) => Vec::new(),
    };
    let rows: Vec<(i64, Document<StepTransition>)> = sqlx::query_as(STEP_TRANSITIONS_PAGE)
        .bind(task_id)
        .bind(after.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|(id, _)| *id);
    Ok((unwrapped(of_task), rows.into_iter().map(|(_, Document(row))| row).collect(), next))
}

/// A task with its steps, its graph, and its whole audit.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn task_details(db: impl Into<Limited<'_>>, task_id: Uuid) -> Result<TaskDetails> {
    let db = db.into();
    let task = show_task(db, task_id).await?;
    let TaskGraph { steps, dag, batches } = task_graph(db, task_id, Instances::All).await?;
    let (task_transitions, step_transitions) = task_transitions(db, task_id).await?;
    Ok(TaskDetails { task, steps, dag, batches, task_transitions, step_transitions })
}

/// Cancels a task; false when it had already finished.
///
/// # Errors
/// `TK004` when there is no such task, `TK034` when another transaction holds it.
pub async fn cancel_task(executor: impl PgExecutor<'_>, task_id: Uuid, by: By<'_>) -> Result<bool> {
    let cancelled = sqlx::query_scalar("select tasker.cancel_task($1, $2, $3)")
        .bind(task_id)
        .bind(by.reason)
        .bind(by.who)
        .fetch_one(executor)
        .await?;
    Ok(cancelled)
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
        .bind(Json(which))
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
        .bind(Json(which))
        .fetch_one(executor)
        .await?;
    Ok(count)
}

/// Unfinished tasks, the stalest first; with `staleness` only those.
///
/// # Errors
/// Database errors only.
pub async fn list_staleness(
    executor: impl PgExecutor<'_>,
    staleness: Option<&HowStale>,
    limit: u32,
) -> Result<Vec<Staleness>> {
    let rows =
        sqlx::query_scalar(STALENESS).bind(staleness.map(HowStale::as_str)).bind(i64::from(limit));
    Ok(unwrapped(rows.fetch_all(executor).await?))
}

/// Waits until a task has settled or `timeout` is over, and returns its status then: look at
/// [`TaskStatus::is_settled`]. A database that is away for a moment is waited for.
///
/// # Errors
/// `TK004` when there is no such task; a database that is away when the time is over.
pub async fn wait(
    db: impl Into<Limited<'_>>,
    task_id: Uuid,
    timeout: Duration,
) -> Result<TaskStatus> {
    let db = db.into();
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(5);
    loop {
        let status = task_status(db, task_id).await;
        let left = deadline.saturating_duration_since(Instant::now());
        match status {
            Ok(status) if status.is_settled() || left.is_zero() => return Ok(status),
            Err(error) if !error.is_transient() || left.is_zero() => return Err(error),
            _ => tokio::time::sleep(pause.min(left)).await,
        }
        pause = (pause * 5 / 4).min(Duration::from_millis(200));
    }
}
