//! Keeps the leases of the steps this process holds, with one statement per round, and tells handlers
//! whose step was cancelled or taken over.

use crate::{claims::StepKey, submit::claims_json, worker::Shared};
use sqlx::PgConnection;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tasker_core::{
    connection::OwnConnection,
    db::Retry,
    failpoint,
    health::{Health, Problem},
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Runs until `stop`. A round every third of the lease, for the claims that are at least that old: each
/// is extended twice before it could run out, and short steps never are.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let (lease, third) = (shared.settings.lease, shared.settings.lease / 3);
    let mut retry = Retry::new(Duration::from_millis(100), third.max(Duration::from_millis(200)));
    let mut connection = shared.connection(false, &stop);
    let mut watch =
        Watch { health: shared.breaker.health().clone(), worker: shared.worker_id, lease, kept: None };
    let mut pause = third;
    while stop.run_until_cancelled(sleep(pause)).await.is_some() {
        let round = watch.over(extend(&shared, &mut connection, third));
        pause = match stop.run_until_cancelled(round).await {
            None => break,
            Some(Ok(())) => {
                retry.over();
                third
            }
            Some(Err(error)) => {
                let (delay, tell) = retry.failed(&error);
                if tell {
                    tracing::warn!(%error, ?delay, "cannot extend leases; will try again");
                }
                delay
            }
        };
    }
    watch.health.clear(Problem::Leases(shared.worker_id));
}

/// Tells the health when leases could not be extended for as long as they are.
struct Watch {
    health: Health,
    worker: Uuid,
    lease: Duration,
    /// The last good round.
    kept: Option<Instant>,
}

impl Watch {
    /// Waits for a round, which may hang.
    async fn over(
        &mut self,
        round: impl Future<Output = tasker_core::Result<()>>,
    ) -> tasker_core::Result<()> {
        let run_out = *self.kept.get_or_insert_with(Instant::now) + self.lease;
        let late = async {
            sleep_until(run_out).await;
            let text = format!(
                "no lease could be extended for {:?}: others may run this worker's steps",
                self.lease
            );
            self.health.set(Problem::Leases(self.worker), text);
            std::future::pending().await
        };
        let result = tokio::select! {
            biased;
            result = round => result,
            result = late => result,
        };
        if result.is_ok() {
            self.kept = Some(Instant::now());
            self.health.clear(Problem::Leases(self.worker));
        }
        result
    }
}

async fn extend(shared: &Shared, connection: &mut OwnConnection, age: Duration) -> tasker_core::Result<()> {
    let held = shared.claims.older_than(age);
    if held.is_empty() {
        return Ok(());
    }
    failpoint::reach("worker.before_extend");
    let extend = async |connection: &mut PgConnection| {
        sqlx::query_as("select task_id, step, status from tasker.extend_leases($1, $2, $3)")
            .bind(shared.worker_id)
            .bind(claims_json(held.iter().map(|(key, claim_no)| (key, *claim_no))))
            .bind(shared.settings.lease)
            .fetch_all(connection)
            .await
    };
    let rows: Vec<(Uuid, String, String)> = connection.call(extend).await?;
    failpoint::reach("worker.after_extend");
    // Answers carry no claim number; a step is held once, so that its name is enough.
    let held: HashMap<StepKey, i32> = held.into_iter().collect();
    for (task_id, step, status) in rows.into_iter().filter(|(_, _, status)| status != "extended") {
        let key = StepKey { task_id, step: step.into() };
        if let Some(claim_no) = held.get(&key)
            && shared.claims.lose(&key, *claim_no)
        {
            tracing::info!(%task_id, step = %key.step, %status, "the step is no longer this worker's: told its handler to stop");
        }
    }
    Ok(())
}
