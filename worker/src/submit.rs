//! The calls by which steps leave this process: `submit_results` and `release_steps`.

use crate::{claims::StepKey, completion::Finished};
use serde_json::{Value, json};
use sqlx::{PgPool, types::Json};
use std::time::Duration;
use tasker_core::Result;
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
#[derive(Clone)]
pub(crate) struct PgSubmitter {
    pub(crate) pool: PgPool,
    pub(crate) worker_id: Uuid,
}

impl Submitter for PgSubmitter {
    async fn submit(&self, results: &[Finished]) -> Result<Vec<Answer>> {
        let rows: Vec<(Uuid, String, String)> =
            sqlx::query_as("select task_id, step, status from tasker.submit_results($1, $2)")
                .bind(self.worker_id)
                .bind(Json(results))
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(task_id, step, status)| Answer { task_id, step, status }).collect())
    }

    async fn release(&self, claims: &[(&StepKey, i32)], delay: Duration, reason: &str) -> Result<()> {
        sqlx::query("select 1 from tasker.release_steps($1, $2, $3, $4)")
            .bind(self.worker_id)
            .bind(claims_json(claims.iter().copied()))
            .bind(delay)
            .bind(reason)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// The `p_claims` of `extend_leases` and `release_steps`.
pub(crate) fn claims_json<'a>(claims: impl Iterator<Item = (&'a StepKey, i32)>) -> Value {
    let element = |(key, claim_no): (&StepKey, i32)| json!({"task_id": key.task_id, "step": &*key.step, "claim_no": claim_no});
    claims.map(element).collect()
}
