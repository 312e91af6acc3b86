//! The calls by which steps leave this process: `complete_steps` and `release_steps`.

use super::Finished;
use crate::{
    claim::{Claim, StepKey, claims_json},
    events::StepEvent,
    shared::Shared,
};
use pgtasker_core::{ClaimStatus, Result, connection::OwnConnection, pooler::DbConnection};
use sqlx::{Row, types::Json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The answer for one submitted result.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) task_id: Uuid,
    pub(crate) step: String,
    pub(crate) claim_no: i32,
    pub(crate) status: ClaimStatus,
}

/// What one submit brought.
#[derive(Debug, Default)]
pub(crate) struct Submitted {
    pub(crate) answers: Vec<Answer>,
    /// Steps that followed, claimed in the same commit.
    pub(crate) claims: Vec<Claim>,
}

/// The database as the completion side sees it.
pub(crate) trait Submitter: Send + 'static {
    /// All or nothing. Claims up to `max_claims` steps of what follows.
    fn submit(
        &self,
        results: &[Finished],
        max_claims: usize,
    ) -> impl Future<Output = Result<Submitted>> + Send;

    /// Gives steps back to their queue, to be claimed again after `delay`. `lost`: an outage took
    /// them. The answers, in order: `released`, `stale`, or `busy`.
    fn release(
        &self,
        claims: &[(&StepKey, i32)],
        delay: Duration,
        reason: &str,
        lost: bool,
    ) -> impl Future<Output = Result<Vec<ClaimStatus>>> + Send;

    /// The result that had these events was accepted. Never waits.
    fn announce(&self, events: &[StepEvent]);
}

/// The real one.
pub(crate) struct PgSubmitter {
    shared: Arc<Shared>,
    /// Uncontended: the completion side has one call in flight.
    connection: Mutex<OwnConnection>,
}

impl PgSubmitter {
    /// Ends with `stop` only while it waits for a connection.
    pub(crate) fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        Self {
            connection: Mutex::new(shared.connection(true, &stop).watched("worker_results")),
            shared,
        }
    }
}

impl Submitter for PgSubmitter {
    async fn submit(&self, results: &[Finished], max_claims: usize) -> Result<Submitted> {
        let max_claims = i32::try_from(max_claims).unwrap_or(i32::MAX);
        // The handlers for which steps may be claimed.
        let handlers = self.shared.handlers.names();
        let submit = async |connection: &mut DbConnection<'_>| {
            sqlx::query(Claim::COMPLETE_STATEMENT)
                .bind(self.shared.worker_id)
                .bind(Json(results))
                .bind(max_claims)
                .bind(&*handlers)
                .bind(self.shared.settings.lease)
                .fetch_all(connection)
                .await
        };
        let mut submitted = Submitted::default();
        for row in &self.connection.lock().await.call(submit).await? {
            let [task_id, step, claim_no, status] = Claim::ANSWER;
            match row.try_get(status)? {
                ClaimStatus::Claimed => submitted.claims.push(Claim::from_row(row)?),
                status => submitted.answers.push(Answer {
                    task_id: row.try_get::<Option<Uuid>, _>(task_id)?.unwrap_or_default(),
                    step: row.try_get::<Option<String>, _>(step)?.unwrap_or_default(),
                    claim_no: row.try_get::<Option<i32>, _>(claim_no)?.unwrap_or_default(),
                    status,
                }),
            }
        }
        Ok(submitted)
    }

    async fn release(
        &self,
        claims: &[(&StepKey, i32)],
        delay: Duration,
        reason: &str,
        lost: bool,
    ) -> Result<Vec<ClaimStatus>> {
        let release = async |connection: &mut DbConnection<'_>| {
            sqlx::query_scalar("select status from tasker.release_steps($1, $2, $3, $4, $5)")
                .bind(self.shared.worker_id)
                .bind(claims_json(claims.iter().copied()))
                .bind(delay)
                .bind(reason)
                .bind(lost)
                .fetch_all(connection)
                .await
        };
        self.connection.lock().await.call(release).await
    }

    fn announce(&self, events: &[StepEvent]) {
        self.shared.announce(events);
    }
}
