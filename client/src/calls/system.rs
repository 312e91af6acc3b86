//! Queues, namespaces, workers, the settings of the engine, and retention.

use super::unwrapped;
use crate::types::{By, EngineSetting, Pruned, QueueOverview, WorkerOverview};
use pgtasker_core::Result;
use sqlx::PgExecutor;

const QUEUES: &str = "select to_jsonb(v) from tasker.queue_overview v order by v.kind, v.queue";
const WORKERS: &str =
    "select to_jsonb(v) from tasker.worker_overview v order by v.started_at, v.worker_id";

/// Every queue of Tasker.
///
/// # Errors
/// Database errors only.
pub async fn list_queues(executor: impl PgExecutor<'_>) -> Result<Vec<QueueOverview>> {
    Ok(unwrapped(sqlx::query_scalar(QUEUES).fetch_all(executor).await?))
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

/// Sends no more steps to a namespace until it is resumed; steps already in its queue are still
/// run. False: it was paused already.
///
/// # Errors
/// TK001: no such namespace.
pub async fn pause_namespace(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    by: By<'_>,
) -> Result<bool> {
    let paused = sqlx::query_scalar("select tasker.pause_namespace($1, $2, $3)")
        .bind(namespace)
        .bind(by.reason)
        .bind(by.who)
        .fetch_one(executor)
        .await?;
    Ok(paused)
}

/// Ends a pause; what was held is sent by priority. False: it was not paused.
///
/// # Errors
/// TK001: no such namespace.
pub async fn resume_namespace(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    by: By<'_>,
) -> Result<bool> {
    let resumed = sqlx::query_scalar("select tasker.resume_namespace($1, $2, $3)")
        .bind(namespace)
        .bind(by.reason)
        .bind(by.who);
    Ok(resumed.fetch_one(executor).await?)
}

/// Limits how many steps may wait in a namespace's queue; none removes the limit.
///
/// # Errors
/// TK001: no such namespace; TK008: a limit below 1.
pub async fn limit_namespace(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    max_depth: Option<i32>,
    by: By<'_>,
) -> Result<()> {
    sqlx::query("select tasker.limit_namespace($1, $2, $3, $4)")
        .bind(namespace)
        .bind(max_depth)
        .bind(by.reason)
        .bind(by.who)
        .execute(executor)
        .await?;
    Ok(())
}

/// Every worker that has not said goodbye.
///
/// # Errors
/// Database errors only.
pub async fn list_workers(executor: impl PgExecutor<'_>) -> Result<Vec<WorkerOverview>> {
    Ok(unwrapped(sqlx::query_scalar(WORKERS).fetch_all(executor).await?))
}

/// Every setting, by name.
///
/// # Errors
/// Database errors only.
pub async fn list_settings(executor: impl PgExecutor<'_>) -> Result<Vec<EngineSetting>> {
    let rows = sqlx::query_as(
        "select name, value, default_value, type, description from tasker.list_settings()",
    );
    Ok(rows.fetch_all(executor).await?)
}

/// Changes a setting, at once and for every process.
///
/// # Errors
/// `TK058` when there is no such setting, or it cannot have this value.
pub async fn set_setting(
    executor: impl PgExecutor<'_>,
    name: &str,
    value: &str,
    by: By<'_>,
) -> Result<()> {
    let set =
        sqlx::query("select tasker.set_setting($1, $2, $3)").bind(name).bind(value).bind(by.who);
    set.execute(executor).await?;
    Ok(())
}

/// Removes one batch of what is older than its retention, at most `max` of each kind.
///
/// # Errors
/// `TK008` when `max` is out of range.
pub async fn prune(executor: impl PgExecutor<'_>, max: i32, by: By<'_>) -> Result<Pruned> {
    let pruned = sqlx::query_as("select tasks, dead_letters, busy from tasker.prune($1, $2)")
        .bind(max)
        .bind(by.who)
        .fetch_one(executor);
    Ok(pruned.await?)
}
