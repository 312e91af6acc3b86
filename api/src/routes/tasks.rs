//! Tasks.

use super::parts::{Act, TaskAt, said, words};
use crate::{
    extract::{Json, OrDefault, Path, Query, between, list, message, object, page_size},
    layers::Correlation,
    problem::{Problem, Result},
    state::App,
};
use axum::{
    Extension,
    http::{StatusCode, header},
    response::IntoResponse,
};
use chrono::{DateTime, Utc};
use pgtasker_client::{
    BatchOverview, Client, Instances, Listed, NewTask, Page, TaskGraph, TaskOverview,
    TaskSelection, TaskState, TaskStatus, TransitionsPage,
};
use pgtasker_core::bounds::{MANY, PAGE};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_tasks, enqueue_task))
        .routes(routes!(show_task))
        .routes(routes!(task_context))
        .routes(routes!(task_status))
        .routes(routes!(task_result))
        .routes(routes!(task_graph))
        .routes(routes!(task_transitions))
        .routes(routes!(list_batches))
        .routes(routes!(cancel_task))
        .routes(routes!(resolve_task))
        .routes(routes!(reset_task))
        .routes(routes!(retry_tasks))
        .routes(routes!(cancel_tasks))
        .routes(routes!(count_tasks))
}

/// What was enqueued.
#[derive(Debug, Serialize, ToSchema)]
pub struct Enqueued {
    /// The new task; for an idempotency key that was used before, the earlier task.
    pub task_id: Uuid,
}

/// A priority of 5.0 is an integer in JSON.
fn new_task(mut body: Map<String, Value>) -> Result<NewTask> {
    if let Some(priority) = body.get_mut("priority")
        && let Some(number) =
            priority.as_f64().filter(|number| priority.is_f64() && number.fract() == 0.0)
    {
        // What does not fit is refused below, as it is when written without a point.
        *priority = Value::from(number as i64);
    }
    NewTask::deserialize(Value::Object(body))
        .map_err(|error| Problem::bad_request("invalid_body", error.to_string()))
}

/// Enqueues a task
///
/// Without a correlation_id in the body, the task gets that of the request; the same holds for the
/// header traceparent.
#[utoipa::path(
    post,
    path = "/v1/tasks",
    tag = "tasks",
    request_body = NewTask,
    responses(
        (
            status = 201,
            body = Enqueued,
            headers(("location" = String, description = "The task")),
        ),
        (
            status = 200,
            body = Enqueued,
            description = "The idempotency key was used before: the earlier task",
            headers(("location" = String, description = "The task")),
        ),
    ),
    security(("key" = ["tasks:create"])),
)]
pub async fn enqueue_task(
    app: App,
    Extension(correlation): Extension<Correlation>,
    Json(body): Json<Map<String, Value>>,
) -> Result<impl IntoResponse> {
    let mut task = new_task(body)?;
    task.correlation_id.get_or_insert(correlation.id);
    task.traceparent = task.traceparent.or(correlation.traceparent);
    let before = repeated(&app, &task).await?;
    let task_id = app.change(key_of(&task), app.client().enqueue_task(&task)).await?;
    let status = if before == Some(task_id) { StatusCode::OK } else { StatusCode::CREATED };
    let location = [(header::LOCATION, format!("/v1/tasks/{task_id}"))];
    Ok((status, location, Json(Enqueued { task_id })))
}

/// What enqueueing waits for: another transaction with the same key.
fn key_of(task: &NewTask) -> Option<String> {
    let key = task.idempotency_key.as_ref()?;
    Some(format!("{} {} {key}", task.namespace, task.name))
}

/// The task that has the idempotency key already.
async fn repeated(app: &App, task: &NewTask) -> Result<Option<Uuid>> {
    let Some(key) = &task.idempotency_key else { return Ok(None) };
    let which = TaskSelection {
        namespace: Some(task.namespace.clone()),
        name: Some(task.name.clone()),
        idempotency_key: Some(key.clone()),
        ..TaskSelection::default()
    };
    let first = Page { after: None, limit: 1 };
    let found = app.call(app.client().list_tasks(&which, &first)).await?;
    Ok(found.items.first().map(|task| task.task_id))
}

/// Which tasks, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskQuery {
    /// In this namespace.
    namespace: Option<String>,
    /// With this template name.
    name: Option<String>,
    /// With this template version.
    version: Option<String>,
    /// In one of these states; repeated, or a list with commas.
    #[serde(default, deserialize_with = "list")]
    state: Option<Vec<TaskState>>,
    /// One of these; a list with commas.
    #[serde(default, deserialize_with = "list")]
    task_id: Option<Vec<Uuid>>,
    /// With this correlation id.
    correlation_id: Option<Uuid>,
    /// Enqueued at this time or later.
    created_after: Option<DateTime<Utc>>,
    /// Enqueued before this time.
    created_before: Option<DateTime<Utc>>,
    /// With an error of this code.
    error_code: Option<String>,
    /// With this idempotency key.
    idempotency_key: Option<String>,
    /// With an id that has this beginning.
    #[param(pattern = "^[0-9a-fA-F-]{1,36}$")]
    id_prefix: Option<String>,
    /// `next` of the previous page.
    #[param(value_type = Option<Uuid>)]
    after: Option<String>,
    /// The most items to return.
    #[serde(default, deserialize_with = "page_size")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
}

/// Lists tasks, the newest first
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", params(TaskQuery),
    responses((status = 200, body = Listed<TaskOverview>)), security(("key" = ["tasks:read"])))]
pub async fn list_tasks(
    app: App,
    Query(query): Query<TaskQuery>,
) -> Result<Json<Listed<TaskOverview>>> {
    let page = Page { after: query.after, limit: query.limit.unwrap_or(50) };
    let which = TaskSelection {
        namespace: query.namespace,
        name: query.name,
        version: query.version,
        states: query.state,
        task_ids: query.task_id,
        correlation_id: query.correlation_id,
        created_after: query.created_after,
        created_before: query.created_before,
        error_code: query.error_code,
        idempotency_key: query.idempotency_key,
        id_prefix: query.id_prefix,
    };
    app.call(app.client().list_tasks(&which, &page)).await.map(Json)
}

/// Shows a task
#[utoipa::path(get, path = "/v1/tasks/{task_id}", tag = "tasks", params(TaskAt),
    responses((status = 200, body = TaskOverview)), security(("key" = ["tasks:read"])))]
pub async fn show_task(app: App, Path(at): Path<TaskAt>) -> Result<Json<TaskOverview>> {
    app.call(app.client().show_task(at.task_id)).await.map(Json)
}

/// Shows the context of a task: its input
#[utoipa::path(get, path = "/v1/tasks/{task_id}/context", tag = "tasks", params(TaskAt),
    responses((status = 200, body = Object)), security(("key" = ["tasks:read"])))]
pub async fn task_context(app: App, Path(at): Path<TaskAt>) -> Result<Json<Value>> {
    app.call(app.client().task_context(at.task_id)).await.map(Json)
}

/// Shows a task in short, its steps counted by state
#[utoipa::path(get, path = "/v1/tasks/{task_id}/status", tag = "tasks", params(TaskAt),
    responses((status = 200, body = TaskStatus)), security(("key" = ["tasks:read"])))]
pub async fn task_status(app: App, Path(at): Path<TaskAt>) -> Result<Json<TaskStatus>> {
    app.call(app.client().task_status(at.task_id)).await.map(Json)
}

/// The result of a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskResult {
    /// The state of the task.
    state: TaskState,
    /// The results of its leaf steps by name, or what an operator gave; null until it is complete.
    result: Option<Value>,
}

/// Shows the result of a task
#[utoipa::path(get, path = "/v1/tasks/{task_id}/result", tag = "tasks", params(TaskAt),
    responses((status = 200, body = TaskResult)), security(("key" = ["tasks:read"])))]
pub async fn task_result(app: App, Path(at): Path<TaskAt>) -> Result<Json<TaskResult>> {
    // The state first: complete, and the result is there.
    let state = app.call(app.client().task_status(at.task_id)).await?.state;
    let result = app.call(app.client().task_result(at.task_id)).await?;
    Ok(Json(TaskResult { state, result }))
}

/// Steps of a graph that is answered whole.
const MOST_STEPS: u64 = 10_000;

/// How much of a graph.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GraphQuery {
    /// `all`, or how many instances of each batch: all of a smaller one, the first in error of a
    /// larger one.
    #[serde(default = "few", deserialize_with = "instances")]
    #[param(value_type = Option<String>, pattern = "^(all|[0-9]{1,4})$", default = "20")]
    instances: Instances,
}

fn few() -> Instances {
    Instances::Few(20)
}

fn instances<'de, D: Deserializer<'de>>(from: D) -> Result<Instances, D::Error> {
    let text = String::deserialize(from)?;
    let number = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        _ if text == "all" => Ok(Instances::All),
        Ok(few) if number => Ok(Instances::Few(few)),
        _ => Err(serde::de::Error::custom("`instances` must be all, or a number up to 9999")),
    }
}

/// Shows the steps of a task, their dependencies, and its batches
#[utoipa::path(get, path = "/v1/tasks/{task_id}/graph", tag = "tasks", params(TaskAt, GraphQuery),
    responses((status = 200, body = TaskGraph)), security(("key" = ["tasks:read"])))]
pub async fn task_graph(
    app: App,
    Path(at): Path<TaskAt>,
    Query(query): Query<GraphQuery>,
) -> Result<Json<TaskGraph>> {
    // The graph of a missing task would be empty.
    let status = app.call(app.client().task_status(at.task_id)).await?;
    let steps: u64 = status.steps.values().sum();
    if query.instances == Instances::All && steps > MOST_STEPS {
        let detail = format!("the task has {steps} steps; a whole graph may have {MOST_STEPS}");
        return Err(Problem::answer_too_large(detail)
            .hint("Ask for fewer instances, or use /steps, which has pages."));
    }
    app.call(app.client().task_graph(at.task_id, query.instances)).await.map(Json)
}

/// Which page of an audit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TransitionsQuery {
    /// `next` of the previous page.
    #[serde(default, deserialize_with = "message")]
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<i64>,
    /// Transitions of steps, 1 to 1,000.
    #[serde(default, deserialize_with = "page_size")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u32>,
}

/// Shows the audit of a task and its steps, oldest first
#[utoipa::path(
    get,
    path = "/v1/tasks/{task_id}/transitions",
    tag = "tasks",
    params(TaskAt, TransitionsQuery),
    responses((status = 200, body = TransitionsPage)),
    security(("key" = ["tasks:read"])),
)]
pub async fn task_transitions(
    app: App,
    Path(at): Path<TaskAt>,
    Query(query): Query<TransitionsQuery>,
) -> Result<Json<TransitionsPage>> {
    let page = app.client().task_transitions_page(
        at.task_id,
        query.after,
        query.limit.unwrap_or(PAGE.most),
    );
    app.call(page).await.map(Json)
}

/// Shows the batches of a task with their progress
#[utoipa::path(get, path = "/v1/tasks/{task_id}/batches", tag = "tasks", params(TaskAt),
    responses((status = 200, body = Vec<BatchOverview>)), security(("key" = ["tasks:read"])))]
pub async fn list_batches(app: App, Path(at): Path<TaskAt>) -> Result<Json<Vec<BatchOverview>>> {
    app.call(app.client().task_status(at.task_id)).await?;
    app.call(app.client().list_batches(at.task_id)).await.map(Json)
}

/// The state of a task after a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskChanged {
    /// False: nothing had to be changed.
    changed: bool,
    /// The state of the task now.
    state: TaskState,
}

async fn changed(app: &App, task_id: Uuid, changed: bool) -> Result<Json<TaskChanged>> {
    let state = app.call(app.client().task_status(task_id)).await?.state;
    Ok(Json(TaskChanged { changed, state }))
}

/// Cancels a task; changed is false when it had already finished
#[utoipa::path(
    post,
    path = "/v1/tasks/{task_id}/cancel",
    tag = "tasks",
    params(TaskAt),
    request_body = Option<Act>,
    responses((status = 200, body = TaskChanged)),
    security(("key" = ["tasks:cancel"])),
)]
pub async fn cancel_task(
    app: App,
    Path(at): Path<TaskAt>,
    body: Option<Json<Act>>,
) -> Result<Json<TaskChanged>> {
    let act = body.or_default();
    let done = app
        .change(
            at.task_id.to_string(),
            app.client().cancel_task(at.task_id, said(&act.by, &act.reason)),
        )
        .await?;
    changed(&app, at.task_id, done).await
}

/// The result that settles a task.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// The result of the task.
    #[serde(default)]
    result: Option<Value>,
    /// Why; written to the audit.
    #[serde(default, deserialize_with = "words")]
    #[schema(max_length = 10_000)]
    reason: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200)]
    by: Option<String>,
}

/// Ends an unfinished task as resolved; changed is false when it had already finished
#[utoipa::path(
    post,
    path = "/v1/tasks/{task_id}/resolve",
    tag = "tasks",
    params(TaskAt),
    request_body = Option<Settle>,
    responses((status = 200, body = TaskChanged)),
    security(("key" = ["tasks:write"])),
)]
pub async fn resolve_task(
    app: App,
    Path(at): Path<TaskAt>,
    body: Option<Json<Settle>>,
) -> Result<Json<TaskChanged>> {
    let settle = body.or_default();
    let by = said(&settle.by, &settle.reason);
    let done = app
        .change(
            at.task_id.to_string(),
            app.client().resolve_task(at.task_id, settle.result.as_ref(), by),
        )
        .await?;
    changed(&app, at.task_id, done).await
}

/// Restarts a task in error, keeping completed results; changed is false when it has not finished
#[utoipa::path(
    post,
    path = "/v1/tasks/{task_id}/reset",
    tag = "tasks",
    params(TaskAt),
    request_body = Option<Act>,
    responses((status = 200, body = TaskChanged)),
    security(("key" = ["tasks:write"])),
)]
pub async fn reset_task(
    app: App,
    Path(at): Path<TaskAt>,
    body: Option<Json<Act>>,
) -> Result<Json<TaskChanged>> {
    let act = body.or_default();
    let done = app
        .change(
            at.task_id.to_string(),
            app.client().reset_task(at.task_id, said(&act.by, &act.reason)),
        )
        .await?;
    changed(&app, at.task_id, done).await
}

/// Many tasks, with a reason and a name for the audit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// The filter, with at least one of its fields.
    #[serde(deserialize_with = "object")]
    filter: TaskSelection,
    /// The most tasks to change in this call.
    #[serde(default, deserialize_with = "between::<_, 1, 10_000>")]
    #[schema(value_type = u32, minimum = 1, maximum = 10_000, default = 100)]
    max: Option<u32>,
    /// Why; written to the audit.
    #[serde(default, deserialize_with = "words")]
    #[schema(max_length = 10_000)]
    reason: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200)]
    by: Option<String>,
}

impl Bulk {
    fn max(&self) -> i32 {
        self.max.and_then(|max| i32::try_from(max).ok()).unwrap_or(MANY.default as i32)
    }
}

/// Which tasks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// The filter, with at least one of its fields.
    #[serde(deserialize_with = "object")]
    filter: TaskSelection,
}

/// How many tasks.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tasks {
    tasks: i64,
}

/// Resumes many failed tasks: their failed steps run again; call again until 0
#[utoipa::path(post, path = "/v1/tasks/retry", tag = "tasks", request_body = Bulk,
    responses((status = 200, body = Tasks)), security(("key" = ["tasks:write"])))]
pub async fn retry_tasks(app: App, Json(bulk): Json<Bulk>) -> Result<Json<Tasks>> {
    let by = said(&bulk.by, &bulk.reason);
    let tasks = app.change(None, app.client().retry_tasks(&bulk.filter, by, bulk.max())).await?;
    Ok(Json(Tasks { tasks: tasks.into() }))
}

/// Cancels many unfinished tasks; call again until 0
#[utoipa::path(post, path = "/v1/tasks/cancel", tag = "tasks", request_body = Bulk,
    responses((status = 200, body = Tasks)), security(("key" = ["tasks:cancel"])))]
pub async fn cancel_tasks(app: App, Json(bulk): Json<Bulk>) -> Result<Json<Tasks>> {
    let by = said(&bulk.by, &bulk.reason);
    let tasks = app.change(None, app.client().cancel_tasks(&bulk.filter, by, bulk.max())).await?;
    Ok(Json(Tasks { tasks: tasks.into() }))
}

/// Counts tasks
#[utoipa::path(post, path = "/v1/tasks/count", tag = "tasks", request_body = Which,
    responses((status = 200, body = Tasks)), security(("key" = ["tasks:read"])))]
pub async fn count_tasks(app: App, Json(which): Json<Which>) -> Result<Json<Tasks>> {
    let tasks = app.call(app.client().count_tasks(&which.filter)).await?;
    Ok(Json(Tasks { tasks }))
}
