//! Whether the process can do its work.

use crate::{extract::Json, problem::Result, state::App};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use pgtasker_client::{Client, ServerHealth};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(process_health))
        .routes(routes!(live))
        .routes(routes!(ready))
}

/// The health of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessHealth {
    /// Whether it can do its work.
    healthy: bool,
    /// Why it is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Since when it has been healthy, or not.
    since: DateTime<Utc>,
}

fn told(app: &App) -> (StatusCode, Json<ProcessHealth>) {
    let now = app.breaker().health().status();
    let status = if now.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // What the database said may have names in it, and anybody may ask this.
    let reason = now.reason.map(|reason| reason.split(": ").next().unwrap_or_default().to_owned());
    (status, Json(ProcessHealth { healthy: now.healthy, reason, since: now.since }))
}

/// Whether the process can do its work; no key is needed
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    responses((status = 200, body = ProcessHealth), (status = 503, body = ProcessHealth)),
    security(()),
)]
pub async fn process_health(app: App) -> (StatusCode, Json<ProcessHealth>) {
    told(&app)
}

/// Whether requests should be sent here; no key is needed
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    responses((status = 200, body = ProcessHealth), (status = 503, body = ProcessHealth)),
    security(()),
)]
pub async fn ready(app: App) -> (StatusCode, Json<ProcessHealth>) {
    told(&app)
}

/// The answer of a live process.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    alive: bool,
}

/// Whether the process answers; if it does, a restart would not help; no key is needed
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "health",
    responses((status = 200, body = Alive)),
    security(()),
)]
pub async fn live() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// Whether Tasker can be used, and the versions of program and schema
#[utoipa::path(get, path = "/v1/health", tag = "health",
    responses((status = 200, body = ServerHealth)), security(("key" = ["system:read"])))]
pub async fn health(app: App) -> Result<Json<ServerHealth>> {
    app.call(app.client().health()).await.map(Json)
}
