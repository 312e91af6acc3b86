//! Steps of a task.

use super::parts::{Act, Changed, TaskAt, said, words};
use crate::{
    extract::{Json, OrDefault, Path, Query, list, page_size},
    problem::Result,
    state::App,
};
use pgtasker_client::{Client, Listed, Page, StepFilter, StepOverview, StepState, StepTransition};
use pgtasker_core::bounds::PAGE;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_steps))
        .routes(routes!(show_step))
        .routes(routes!(step_transitions))
        .routes(routes!(retry_step))
        .routes(routes!(resolve_step))
}

/// A step in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct StepAt {
    /// The task.
    task_id: Uuid,
    /// The step's name in the task.
    step: String,
}

/// Which steps, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StepQuery {
    /// In one of these states; repeated, or a list with commas.
    #[serde(default, deserialize_with = "list")]
    state: Option<Vec<StepState>>,
    /// Only instances of this step of the template.
    template_step: Option<String>,
    /// `next` of the previous page.
    after: Option<String>,
    /// The most items to return.
    #[serde(default, deserialize_with = "page_size")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Lists the steps of a task, roots first
#[utoipa::path(get, path = "/v1/tasks/{task_id}/steps", tag = "steps", params(TaskAt, StepQuery),
    responses((status = 200, body = Listed<StepOverview>)), security(("key" = ["tasks:read"])))]
pub async fn list_steps(
    app: App,
    Path(at): Path<TaskAt>,
    Query(query): Query<StepQuery>,
) -> Result<Json<Listed<StepOverview>>> {
    let filter =
        StepFilter { states: query.state.unwrap_or_default(), template_step: query.template_step };
    let page = Page { after: query.after, limit: query.limit.unwrap_or(PAGE.default) };
    app.call(app.client().list_steps(at.task_id, &filter, &page)).await.map(Json)
}

/// Shows a step with its result
#[utoipa::path(get, path = "/v1/tasks/{task_id}/steps/{step}", tag = "steps", params(StepAt),
    responses((status = 200, body = StepOverview)), security(("key" = ["tasks:read"])))]
pub async fn show_step(app: App, Path(at): Path<StepAt>) -> Result<Json<StepOverview>> {
    app.call(app.client().show_step(at.task_id, &at.step)).await.map(Json)
}

/// Shows the audit of a step, oldest first
#[utoipa::path(
    get,
    path = "/v1/tasks/{task_id}/steps/{step}/transitions",
    tag = "steps",
    params(StepAt),
    responses((status = 200, body = Vec<StepTransition>)),
    security(("key" = ["tasks:read"])),
)]
pub async fn step_transitions(
    app: App,
    Path(at): Path<StepAt>,
) -> Result<Json<Vec<StepTransition>>> {
    // A step that does not exist would have no rows.
    app.call(app.client().show_step(at.task_id, &at.step)).await?;
    app.call(app.client().step_transitions(at.task_id, &at.step)).await.map(Json)
}

/// Runs a step in error again; changed is false when it waits or runs already
#[utoipa::path(
    post,
    path = "/v1/tasks/{task_id}/steps/{step}/retry",
    tag = "steps",
    params(StepAt),
    request_body = Option<Act>,
    responses((status = 200, body = Changed)),
    security(("key" = ["steps:write"])),
)]
pub async fn retry_step(
    app: App,
    Path(at): Path<StepAt>,
    body: Option<Json<Act>>,
) -> Result<Json<Changed>> {
    let act = body.or_default();
    let by = said(&act.by, &act.reason);
    let changed = app
        .change(at.task_id.to_string(), app.client().retry_step(at.task_id, &at.step, by))
        .await?;
    Ok(Json(Changed { changed }))
}

/// The result that settles a step.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleStep {
    /// The result of the step.
    #[serde(default)]
    result: Option<Value>,
    /// The outcome of a decision or batchable: `{"type": "decision", "create_steps": […]}` or
    /// `{"type": "batches", …}`.
    #[serde(default)]
    outcome: Option<Value>,
    /// Why; written to the audit.
    #[serde(default, deserialize_with = "words")]
    #[schema(max_length = 10_000)]
    reason: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200)]
    by: Option<String>,
}

/// Settles a step by hand; changed is false when it is settled already
#[utoipa::path(
    post,
    path = "/v1/tasks/{task_id}/steps/{step}/resolve",
    tag = "steps",
    params(StepAt),
    request_body = Option<SettleStep>,
    responses((status = 200, body = Changed)),
    security(("key" = ["steps:write"])),
)]
pub async fn resolve_step(
    app: App,
    Path(at): Path<StepAt>,
    body: Option<Json<SettleStep>>,
) -> Result<Json<Changed>> {
    let settle = body.or_default();
    let by = said(&settle.by, &settle.reason);
    let call = app.client().resolve_step(
        at.task_id,
        &at.step,
        settle.result.as_ref(),
        settle.outcome.as_ref(),
        by,
    );
    Ok(Json(Changed { changed: app.change(at.task_id.to_string(), call).await? }))
}
