//! Looking at the domain events of a namespace.

use super::system::NamespaceAt;
use crate::{
    extract::{Json, Path, Query, message, page_size},
    problem::Result,
    state::App,
};
use pgtasker_client::{Client, QueuedEvent};
use pgtasker_core::bounds::PAGE;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_events))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only events after this message; none: the newest.
    #[serde(default, deserialize_with = "message")]
    #[param(minimum = 0)]
    after: Option<i64>,
    /// The most items to return.
    #[serde(default, deserialize_with = "page_size")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Lists the domain events of a namespace in the order of their messages; nothing is consumed
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/events",
    tag = "events",
    params(NamespaceAt, EventsQuery),
    responses((status = 200, body = Vec<QueuedEvent>)),
    security(("key" = ["tasks:read"])),
)]
pub async fn list_events(
    app: App,
    Path(at): Path<NamespaceAt>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<Vec<QueuedEvent>>> {
    app.call(app.client().list_events(
        &at.namespace,
        query.after,
        query.limit.unwrap_or(PAGE.default),
    ))
    .await
    .map(Json)
}
