//! The client's part of the SQL API as typed calls. Each is one round trip; those that take an
//! executor run in the caller's own transaction when given one.

mod analytics;
mod dead_letters;
mod details;
mod events;
mod lists;
mod operator;
mod queues;
mod settings;
mod views;

pub use analytics::{
    FailureRate, Sample, SlowStep, Throughput, failure_rates, slowest_steps, throughput,
};
pub use dead_letters::{
    DeadLetter, DeadLetterCount, DeadLetterDetails, DeadLetterFilter, DeadLetterSelection,
    DeadLettersChanged, Pruned, add_dead_letter, count_dead_letters, count_matching_dead_letters,
    prune, retry_dead_letter, retry_dead_letters, show_dead_letter, update_dead_letter,
    update_dead_letters,
};
pub use details::{
    Instances, TaskGraph, list_batches, show_task, step_transitions, task_context, task_graph,
    task_overview, task_transitions, task_transitions_page,
};
pub use events::{QueuedEvent, list_events};
pub use lists::{
    Listed, Page, Staleness, StepFilter, list_dead_letters, list_staleness, list_steps, list_tasks,
    show_step,
};
pub use operator::{
    By, TaskSelection, cancel_tasks, count_tasks, reset_task, resolve_step, resolve_task,
    retry_step, retry_tasks,
};
pub use queues::{limit_namespace, pause_namespace, resume_namespace};
pub use settings::{EngineSetting, list_settings, set_setting};
pub use views::{
    BatchOverview, DagRow, Presence, QueueOverview, StepOverview, StepTransition, StepType,
    TaskDetails, TaskOverview, TaskTransition, Template, TemplateOverview, WorkerOverview,
};

use crate::{Error, Result, TaskState, json::Document, pooler::Limited};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgExecutor;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// A task to enqueue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// An object; the input of the task.
    #[serde(default = "no_context")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub context: Value,
    /// None: the current version (applied or used last).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Higher goes first among steps that are held, in a namespace with a limit or after a pause;
    /// elsewhere it has no effect. 0 is usual.
    #[serde(default)]
    pub priority: i32,
    /// Not before; none: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<DateTime<Utc>>,
    /// The same key with the same content gives the existing task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// None: the task's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// A W3C trace context, handed to every handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Whether to wake an orchestrator at commit; none: as `tasker.settings` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<bool>,
}

fn no_context() -> Value {
    Value::Object(Map::new())
}

impl NewTask {
    /// A task of the template's last version with an empty context.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            context: no_context(),
            version: None,
            priority: 0,
            run_at: None,
            idempotency_key: None,
            correlation_id: None,
            traceparent: None,
            notify: None,
        }
    }

    /// Sets the context.
    pub fn context(mut self, context: Value) -> Self {
        self.context = context;
        self
    }
}

/// Enqueues a task and returns its id. In the caller's transaction: rolled back, nothing happened.
///
/// # Errors
/// `TK001` namespace, `TK002` template, `TK003` version, `TK005` context, `TK006` idempotency key,
/// `TK008` run_at.
pub async fn enqueue(executor: impl PgExecutor<'_>, task: &NewTask) -> Result<Uuid> {
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
/// `TK001`, `TK002`, `TK005` as for [`enqueue`]; `TK019`: more contexts than one call takes
/// (10,000), or larger ones.
pub async fn enqueue_many(
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

/// A task in one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskStatus {
    /// The task.
    pub task_id: Uuid,
    /// Of its template.
    pub namespace: String,
    /// Of its template.
    pub name: String,
    /// Of its template.
    pub version: String,
    /// Where it stands.
    pub state: TaskState,
    /// How many steps are in each state; states without steps are left out.
    pub steps: BTreeMap<String, u64>,
    /// Why it failed.
    pub error: Option<Value>,
    /// What else the engine says: times, the correlation id.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl TaskStatus {
    /// Whether it moves no more by itself: finished, or blocked by failures until an operator
    /// helps.
    pub fn is_settled(&self) -> bool {
        self.state.is_terminal() || self.state == TaskState::BlockedByFailures
    }

    /// Whether it ended well: complete, or resolved by an operator.
    pub fn succeeded(&self) -> bool {
        matches!(self.state, TaskState::Complete | TaskState::ResolvedManually)
    }
}

/// The status of a task.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn status(executor: impl PgExecutor<'_>, task_id: Uuid) -> Result<TaskStatus> {
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
pub async fn result(executor: impl PgExecutor<'_>, task_id: Uuid) -> Result<Option<Value>> {
    let result: Option<Document<Value>> = sqlx::query_scalar("select tasker.task_result($1)")
        .bind(task_id)
        .fetch_one(executor)
        .await?;
    Ok(result.map(|Document(result)| result))
}

/// Cancels a task; false when it had already finished.
///
/// # Errors
/// `TK004` when there is no such task, `TK034` when another transaction holds it.
pub async fn cancel(executor: impl PgExecutor<'_>, task_id: Uuid, by: By<'_>) -> Result<bool> {
    let cancelled = sqlx::query_scalar("select tasker.cancel_task($1, $2, $3)")
        .bind(task_id)
        .bind(by.reason)
        .bind(by.who)
        .fetch_one(executor)
        .await?;
    Ok(cancelled)
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
        let status = status(db, task_id).await;
        let left = deadline.saturating_duration_since(Instant::now());
        match status {
            Ok(status) if status.is_settled() || left.is_zero() => return Ok(status),
            Err(error) if !error.is_transient() || left.is_zero() => return Err(error),
            _ => tokio::time::sleep(pause.min(left)).await,
        }
        pause = (pause * 5 / 4).min(Duration::from_millis(200));
    }
}

/// Every version of every template, the newest of each first.
///
/// # Errors
/// Database errors only.
pub async fn list_templates(
    executor: impl PgExecutor<'_>,
    namespace: Option<&str>,
) -> Result<Vec<TemplateOverview>> {
    let rows = sqlx::query_scalar(views::TEMPLATES).bind(namespace).fetch_all(executor).await?;
    Ok(unwrapped(rows))
}

/// A template with its definition; no version: the current one (applied or used last). None when
/// there is no such template.
///
/// # Errors
/// Database errors only.
pub async fn show_template(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    name: &str,
    version: Option<&str>,
) -> Result<Option<Template>> {
    let row: Option<Document<Template>> = sqlx::query_scalar(views::TEMPLATE)
        .bind(namespace)
        .bind(name)
        .bind(version)
        .fetch_optional(executor)
        .await?;
    Ok(row.map(|Document(template)| template))
}

/// Every namespace, by name.
///
/// # Errors
/// Database errors only.
pub async fn list_namespaces(executor: impl PgExecutor<'_>) -> Result<Vec<String>> {
    let names =
        sqlx::query_scalar("select namespace from tasker.namespace_overview order by namespace");
    Ok(names.fetch_all(executor).await?)
}

/// Every queue of Tasker.
///
/// # Errors
/// Database errors only.
pub async fn list_queues(executor: impl PgExecutor<'_>) -> Result<Vec<QueueOverview>> {
    Ok(unwrapped(sqlx::query_scalar(views::QUEUES).fetch_all(executor).await?))
}

/// Every worker that has not said goodbye.
///
/// # Errors
/// Database errors only.
pub async fn list_workers(executor: impl PgExecutor<'_>) -> Result<Vec<WorkerOverview>> {
    Ok(unwrapped(sqlx::query_scalar(views::WORKERS).fetch_all(executor).await?))
}

/// What a list was asked to go on from, and never gave.
fn refused_cursor(text: &str) -> Error {
    Error::Refused {
        code: "TK008".to_owned(),
        message: format!("a page cannot begin after {text:?}"),
        hint: Some("give what the page before said in `next`".to_owned()),
    }
}

fn unwrapped<T>(rows: Vec<Document<T>>) -> Vec<T> {
    rows.into_iter().map(|Document(row)| row).collect()
}
