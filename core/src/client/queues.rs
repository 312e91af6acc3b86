//! Namespaces held back by an operator: paused, or with a limit on what waits in their queue.

use crate::Result;
use sqlx::PgExecutor;

/// Sends no more steps to a namespace until it is resumed; steps already in its queue are still
/// run. `by` is recorded, none means the database role. False: it was paused already.
///
/// # Errors
/// TK001: no such namespace.
pub async fn pause_namespace(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    reason: Option<&str>,
    by: Option<&str>,
) -> Result<bool> {
    let paused = sqlx::query_scalar("select tasker.pause_namespace($1, $2, $3)")
        .bind(namespace)
        .bind(reason)
        .bind(by)
        .fetch_one(executor)
        .await?;
    Ok(paused)
}

/// Ends a pause; what was held is sent by priority. `by` is recorded, none means the database role.
/// False: it was not paused.
///
/// # Errors
/// TK001: no such namespace.
pub async fn resume_namespace(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    reason: Option<&str>,
    by: Option<&str>,
) -> Result<bool> {
    let resumed = sqlx::query_scalar("select tasker.resume_namespace($1, $2, $3)")
        .bind(namespace)
        .bind(reason)
        .bind(by);
    Ok(resumed.fetch_one(executor).await?)
}

/// Lets at most so many steps wait in a namespace's queue; none takes the limit away. `by` is
/// recorded, none means the database role.
///
/// # Errors
/// TK001: no such namespace; TK008: a limit below 1.
pub async fn limit_namespace(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    max_depth: Option<i32>,
    reason: Option<&str>,
    by: Option<&str>,
) -> Result<()> {
    sqlx::query("select tasker.limit_namespace($1, $2, $3, $4)")
        .bind(namespace)
        .bind(max_depth)
        .bind(reason)
        .bind(by)
        .execute(executor)
        .await?;
    Ok(())
}
