//! Queues, namespaces, workers, retention, and what lately was slow or failed.

use super::parts::{Act, Changed, said};
use crate::{
    extract::{Json, OrDefault, Path, Query, between, known, page_size},
    problem::Result,
    state::App,
};
use pgtasker_client::{
    Client, FailureRate, HowStale, Pruned, QueueOverview, Sample, SlowStep, Staleness, Throughput,
    WorkerOverview,
};
use pgtasker_core::bounds::{PAGE, PRUNED};
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_queues))
        .routes(routes!(list_namespaces))
        .routes(routes!(pause_namespace))
        .routes(routes!(resume_namespace))
        .routes(routes!(limit_namespace))
        .routes(routes!(list_workers))
        .routes(routes!(prune))
        .routes(routes!(list_staleness))
        .routes(routes!(slowest_steps))
        .routes(routes!(throughput))
        .routes(routes!(failure_rates))
}

/// Lists the queues
#[utoipa::path(get, path = "/v1/queues", tag = "system",
    responses((status = 200, body = Vec<QueueOverview>)), security(("key" = ["system:read"])))]
pub async fn list_queues(app: App) -> Result<Json<Vec<QueueOverview>>> {
    app.call(app.client().list_queues()).await.map(Json)
}

/// Lists the namespaces by name
#[utoipa::path(get, path = "/v1/namespaces", tag = "system",
    responses((status = 200, body = Vec<String>)), security(("key" = ["system:read"])))]
pub async fn list_namespaces(app: App) -> Result<Json<Vec<String>>> {
    app.call(app.client().list_namespaces()).await.map(Json)
}

/// A namespace in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct NamespaceAt {
    /// Its name.
    pub(super) namespace: String,
}

/// Sends no more steps to a namespace; changed is false when it was paused already
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/pause",
    tag = "system",
    params(NamespaceAt),
    request_body = Option<Act>,
    responses((status = 200, body = Changed)),
    security(("key" = ["queues:write"])),
)]
pub async fn pause_namespace(
    app: App,
    Path(at): Path<NamespaceAt>,
    body: Option<Json<Act>>,
) -> Result<Json<Changed>> {
    let act = body.or_default();
    let call = app.client().pause_namespace(&at.namespace, said(&act.by, &act.reason));
    Ok(Json(Changed { changed: app.change(at.namespace.clone(), call).await? }))
}

/// Sends the held steps; changed is false when it was not paused
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/resume",
    tag = "system",
    params(NamespaceAt),
    request_body = Option<Act>,
    responses((status = 200, body = Changed)),
    security(("key" = ["queues:write"])),
)]
pub async fn resume_namespace(
    app: App,
    Path(at): Path<NamespaceAt>,
    body: Option<Json<Act>>,
) -> Result<Json<Changed>> {
    let act = body.or_default();
    let call = app.client().resume_namespace(&at.namespace, said(&act.by, &act.reason));
    Ok(Json(Changed { changed: app.change(at.namespace.clone(), call).await? }))
}

/// How many steps may wait.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Null: any number.
    #[schema(value_type = Option<u32>, required, minimum = 1, maximum = 2_147_483_647)]
    #[serde(deserialize_with = "depth")]
    max_depth: Option<i32>,
    /// Why; written to the audit.
    #[serde(default, deserialize_with = "super::parts::words")]
    #[schema(max_length = 10_000)]
    reason: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200)]
    by: Option<String>,
}

fn depth<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<i32>, D::Error> {
    #[derive(Deserialize)]
    struct Depth(#[serde(deserialize_with = "between::<_, 1, 2_147_483_647>")] Option<u32>);
    let depth = Option::<Depth>::deserialize(from)?.and_then(|Depth(depth)| depth);
    Ok(depth.and_then(|depth| i32::try_from(depth).ok()))
}

/// A namespace's limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Limited {
    /// The namespace.
    namespace: String,
    /// None: any number.
    max_depth: Option<i32>,
}

/// Limits how many steps may wait in a namespace's queue
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}/limit",
    tag = "system",
    params(NamespaceAt),
    request_body = Limit,
    responses((status = 200, body = Limited)),
    security(("key" = ["queues:write"])),
)]
pub async fn limit_namespace(
    app: App,
    Path(NamespaceAt { namespace }): Path<NamespaceAt>,
    Json(Limit { max_depth, reason, by }): Json<Limit>,
) -> Result<Json<Limited>> {
    let call = app.client().limit_namespace(&namespace, max_depth, said(&by, &reason));
    app.change(namespace.clone(), call).await?;
    Ok(Json(Limited { namespace, max_depth }))
}

/// Lists the workers that have not signed off
#[utoipa::path(get, path = "/v1/workers", tag = "system",
    responses((status = 200, body = Vec<WorkerOverview>)), security(("key" = ["system:read"])))]
pub async fn list_workers(app: App) -> Result<Json<Vec<WorkerOverview>>> {
    app.call(app.client().list_workers()).await.map(Json)
}

/// How much to remove.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// The most rows of each kind to remove.
    #[serde(default, deserialize_with = "between::<_, 1, 10_000>")]
    #[schema(value_type = u32, minimum = 1, maximum = 10_000, default = 1000)]
    max: Option<u32>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "super::parts::name")]
    #[schema(max_length = 200)]
    by: Option<String>,
}

/// Removes one batch of rows older than their retention; call again until both are 0
#[utoipa::path(post, path = "/v1/prune", tag = "system", request_body = Option<Prune>,
    responses((status = 200, body = Pruned)), security(("key" = ["system:write"])))]
pub async fn prune(app: App, body: Option<Json<Prune>>) -> Result<Json<Pruned>> {
    let prune = body.or_default();
    let max = prune.max.and_then(|max| i32::try_from(max).ok()).unwrap_or(PRUNED.default as i32);
    app.change("prune".to_owned(), app.client().prune(max, said(&prune.by, &None))).await.map(Json)
}

/// Which unfinished tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StalenessQuery {
    /// Only tasks with this staleness.
    #[serde(default, deserialize_with = "known")]
    staleness: Option<HowStale>,
    /// The most items to return.
    #[serde(default, deserialize_with = "page_size")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Lists unfinished tasks against their thresholds, the stalest first
#[utoipa::path(get, path = "/v1/staleness", tag = "system", params(StalenessQuery),
    responses((status = 200, body = Vec<Staleness>)), security(("key" = ["system:read"])))]
pub async fn list_staleness(
    app: App,
    Query(query): Query<StalenessQuery>,
) -> Result<Json<Vec<Staleness>>> {
    app.call(
        app.client().list_staleness(query.staleness.as_ref(), query.limit.unwrap_or(PAGE.default)),
    )
    .await
    .map(Json)
}

/// Which tasks the analytics cover.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SampleQuery {
    /// Only in this namespace.
    namespace: Option<String>,
    /// Only with this template name.
    name: Option<String>,
    /// Enqueued at most this many seconds ago.
    #[serde(default, deserialize_with = "between::<_, 1, 31_536_000>")]
    #[param(minimum = 1, maximum = 31_536_000, default = 3600)]
    since_seconds: Option<u32>,
    /// The most tasks to look at, the newest first.
    #[serde(default, deserialize_with = "between::<_, 1, 100_000>")]
    #[param(minimum = 1, maximum = 100_000, default = 10_000)]
    max_tasks: Option<u32>,
    /// The most items to return.
    #[serde(default, deserialize_with = "page_size")]
    #[param(minimum = 1, maximum = 1000, default = 20)]
    limit: Option<u32>,
}

/// Which tasks, and how long a bucket is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BucketQuery {
    /// Only in this namespace.
    namespace: Option<String>,
    /// Only with this template name.
    name: Option<String>,
    /// Enqueued at most this many seconds ago.
    #[serde(default, deserialize_with = "between::<_, 1, 31_536_000>")]
    #[param(minimum = 1, maximum = 31_536_000, default = 3600)]
    since_seconds: Option<u32>,
    /// The most tasks to look at, the newest first.
    #[serde(default, deserialize_with = "between::<_, 1, 100_000>")]
    #[param(minimum = 1, maximum = 100_000, default = 10_000)]
    max_tasks: Option<u32>,
    /// The length of a bucket in seconds.
    #[serde(default, deserialize_with = "between::<_, 1, 86_400>")]
    #[param(minimum = 1, maximum = 86_400, default = 60)]
    bucket_seconds: Option<u32>,
}

fn sample(
    namespace: Option<String>,
    name: Option<String>,
    since: Option<u32>,
    max_tasks: Option<u32>,
) -> Sample {
    let usual = Sample::default();
    let since = since.map_or(usual.since, |seconds| Duration::from_secs(seconds.into()));
    let max_tasks = max_tasks.and_then(|max| i32::try_from(max).ok()).unwrap_or(usual.max_tasks);
    Sample { namespace, name, since, max_tasks }
}

impl SampleQuery {
    fn split(self) -> (Sample, u32) {
        let limit = self.limit.unwrap_or(20);
        (sample(self.namespace, self.name, self.since_seconds, self.max_tasks), limit)
    }
}

/// Shows steps by the durations of their handlers, the slowest first
#[utoipa::path(get, path = "/v1/analytics/slowest-steps", tag = "analytics", params(SampleQuery),
    responses((status = 200, body = Vec<SlowStep>)), security(("key" = ["system:read"])))]
pub async fn slowest_steps(
    app: App,
    Query(query): Query<SampleQuery>,
) -> Result<Json<Vec<SlowStep>>> {
    let (sample, limit) = query.split();
    app.call(app.client().slowest_steps(&sample, limit)).await.map(Json)
}

/// Shows tasks enqueued and ended by time, oldest first
#[utoipa::path(get, path = "/v1/analytics/throughput", tag = "analytics", params(BucketQuery),
    responses((status = 200, body = Vec<Throughput>)), security(("key" = ["system:read"])))]
pub async fn throughput(
    app: App,
    Query(query): Query<BucketQuery>,
) -> Result<Json<Vec<Throughput>>> {
    let bucket = Duration::from_secs(query.bucket_seconds.unwrap_or(60).into());
    let sample = sample(query.namespace, query.name, query.since_seconds, query.max_tasks);
    app.call(app.client().throughput(&sample, bucket)).await.map(Json)
}

/// Shows templates by the share of their tasks that failed, the worst first
#[utoipa::path(get, path = "/v1/analytics/failure-rates", tag = "analytics", params(SampleQuery),
    responses((status = 200, body = Vec<FailureRate>)), security(("key" = ["system:read"])))]
pub async fn failure_rates(
    app: App,
    Query(query): Query<SampleQuery>,
) -> Result<Json<Vec<FailureRate>>> {
    let (sample, limit) = query.split();
    app.call(app.client().failure_rates(&sample, limit)).await.map(Json)
}
