//! The calls by which steps leave this process: `complete_steps` and `release_steps`.

use crate::{claims::StepKey, completion::Finished};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, types::Json};
use std::time::Duration;
use tasker_core::{Result, connection::OwnConnection};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The answer for one submitted result.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) task_id: Uuid,
    pub(crate) step: String,
    /// `accepted`, `duplicate`, `stale`, or `rejected`.
    pub(crate) status: String,
}

/// The database as the completion side sees it.
pub(crate) trait Submitter: Send + 'static {
    /// All or nothing.
    fn submit(&self, results: &[Finished]) -> impl Future<Output = Result<Vec<Answer>>> + Send;

    /// Gives steps back to their queue, to be claimed again after `delay`.
    fn release(
        &self,
        claims: &[(&StepKey, i32)],
        delay: Duration,
        reason: &str,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// The real one.
pub(crate) struct PgSubmitter {
    worker_id: Uuid,
    /// Uncontended: the completion side has one call in flight.
    connection: Mutex<OwnConnection>,
}

impl PgSubmitter {
    /// Ends with `stop` only while it waits for a connection.
    pub(crate) fn new(pool: PgPool, worker_id: Uuid, stop: CancellationToken) -> Self {
        Self { worker_id, connection: Mutex::new(OwnConnection::new(pool, true, stop)) }
    }
}

impl Submitter for PgSubmitter {
    async fn submit(&self, results: &[Finished]) -> Result<Vec<Answer>> {
        let submit = async |connection: &mut PgConnection| {
            sqlx::query_as("select task_id, step, status from tasker.complete_steps($1, $2)")
                .bind(self.worker_id)
                .bind(Json(results))
                .fetch_all(connection)
                .await
        };
        let rows: Vec<(Uuid, String, String)> = self.connection.lock().await.call(submit).await?;
        Ok(rows.into_iter().map(|(task_id, step, status)| Answer { task_id, step, status }).collect())
    }

    async fn release(&self, claims: &[(&StepKey, i32)], delay: Duration, reason: &str) -> Result<()> {
        let release = async |connection: &mut PgConnection| {
            sqlx::query("select 1 from tasker.release_steps($1, $2, $3, $4)")
                .bind(self.worker_id)
                .bind(claims_json(claims.iter().copied()))
                .bind(delay)
                .bind(reason)
                .execute(connection)
                .await
        };
        self.connection.lock().await.call(release).await.map(|_| ())
    }
}

/// The `p_claims` of `extend_leases` and `release_steps`.
pub(crate) fn claims_json<'a>(claims: impl Iterator<Item = (&'a StepKey, i32)>) -> Value {
    let element = |(key, claim_no): (&StepKey, i32)| json!({"task_id": key.task_id, "step": &*key.step, "claim_no": claim_no});
    claims.map(element).collect()
}
