//! Templates.

use super::parts::said;
use crate::{
    extract::{Json, Path, Query},
    problem::{Problem, Result},
    state::App,
};
use axum::{http::StatusCode, response::IntoResponse};
use pgtasker_client::{Applied, Client, Report, Template, TemplateOverview};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_templates, apply_template))
        .routes(routes!(validate_template))
        .routes(routes!(show_template))
        .routes(routes!(use_template))
}

/// Which templates.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TemplatesQuery {
    /// Only in this namespace.
    namespace: Option<String>,
}

/// Lists every version of every template
#[utoipa::path(
    get,
    path = "/v1/templates",
    tag = "templates",
    params(TemplatesQuery),
    responses((status = 200, body = Vec<TemplateOverview>)),
    security(("key" = ["templates:read"])),
)]
pub async fn list_templates(
    app: App,
    Query(query): Query<TemplatesQuery>,
) -> Result<Json<Vec<TemplateOverview>>> {
    app.call(app.client().list_templates(query.namespace.as_deref())).await.map(Json)
}

/// The definition of a template, see docs/templates.md.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(value_type = Object, example = json!({
    "namespace": "orders", "name": "fulfil", "version": "1",
    "steps": [{"name": "ship", "handler": {"callable": "noop"}}]
}))]
pub struct Definition(Map<String, Value>);

/// Who applies it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApplyQuery {
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[param(max_length = 200, example = "ana")]
    by: Option<String>,
}

/// Applies a definition; 200 when it had been applied already with the same content
#[utoipa::path(
    post,
    path = "/v1/templates",
    tag = "templates",
    params(ApplyQuery),
    request_body = Definition,
    responses((status = 201, body = Applied), (status = 200, body = Applied)),
    security(("key" = ["templates:write"])),
)]
pub async fn apply_template(
    app: App,
    Query(ApplyQuery { by }): Query<ApplyQuery>,
    Json(Definition(definition)): Json<Definition>,
) -> Result<impl IntoResponse> {
    let applied = app
        .check(app.client().apply_template(&Value::Object(definition), said(&by, &None)))
        .await?;
    let status = if applied.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(applied)))
}

/// Checks a definition and lists its problems
#[utoipa::path(post, path = "/v1/templates/validate", tag = "templates", request_body = Definition,
    responses((status = 200, body = Report)), security(("key" = ["templates:read"])))]
pub async fn validate_template(
    app: App,
    Json(Definition(definition)): Json<Definition>,
) -> Result<Json<Report>> {
    app.check(app.client().validate_template(&Value::Object(definition))).await.map(Json)
}

/// A template in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TemplateAt {
    /// Its namespace.
    namespace: String,
    /// Its name.
    name: String,
}

/// The version that is to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UseVersion {
    /// One that has been applied.
    #[schema(example = "1.0.0")]
    version: String,
    /// For the audit.
    #[serde(default, deserialize_with = "super::parts::words")]
    #[schema(max_length = 10_000)]
    reason: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200, example = "ana")]
    by: Option<String>,
}

/// Chooses the version that runs when an enqueue names none
#[utoipa::path(
    post,
    path = "/v1/templates/{namespace}/{name}/use",
    tag = "templates",
    params(TemplateAt),
    request_body = UseVersion,
    responses((status = 200, body = Applied)),
    security(("key" = ["templates:write"])),
)]
pub async fn use_template(
    app: App,
    Path(at): Path<TemplateAt>,
    Json(body): Json<UseVersion>,
) -> Result<Json<Applied>> {
    let by = said(&body.by, &body.reason);
    let used = app.client().use_template(&at.namespace, &at.name, &body.version, by);
    app.change(at.namespace.clone(), used).await.map(Json)
}

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// None: the current one (applied or used last).
    version: Option<String>,
}

/// Shows a template with its definition
#[utoipa::path(
    get,
    path = "/v1/templates/{namespace}/{name}",
    tag = "templates",
    params(TemplateAt, VersionQuery),
    responses((status = 200, body = Template)),
    security(("key" = ["templates:read"])),
)]
pub async fn show_template(
    app: App,
    Path(at): Path<TemplateAt>,
    Query(query): Query<VersionQuery>,
) -> Result<Json<Template>> {
    let found = app
        .call(app.client().show_template(&at.namespace, &at.name, query.version.as_deref()))
        .await?;
    found.map(Json).ok_or_else(|| {
        let (code, what) = match &query.version {
            Some(version) => (
                "TK003",
                format!("there is no version {version:?} of template {}.{}", at.namespace, at.name),
            ),
            None => ("TK002", format!("there is no template {}.{}", at.namespace, at.name)),
        };
        Problem::new(StatusCode::NOT_FOUND, code, "It is not there")
            .detail(what)
            .hint("GET /v1/templates lists all.")
    })
}
