//! Keeps the leases of the steps this process holds, with one statement per round, and tells handlers
//! whose step was cancelled or taken over.

use crate::{claims::StepKey, submit::claims_json, worker::Shared};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tasker_core::db::Delays;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Runs until `stop`. A round every third of the lease, for the claims that are at least that old: each
/// is extended twice before it could run out, and short steps never are.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let third = shared.settings.lease / 3;
    let mut delays = Delays::new(Duration::from_millis(100), third.max(Duration::from_millis(200)));
    let mut pause = third;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = match extend(&shared, third).await {
            Ok(()) => {
                delays.reset();
                third
            }
            Err(error) => {
                let delay = delays.next();
                tracing::warn!(%error, ?delay, "cannot extend leases; will try again");
                delay
            }
        };
    }
}

async fn extend(shared: &Shared, age: Duration) -> tasker_core::Result<()> {
    let held = shared.claims.older_than(age);
    if held.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("select task_id, step, status from tasker.extend_leases($1, $2, $3)")
            .bind(shared.worker_id)
            .bind(claims_json(held.iter().map(|(key, claim_no)| (key, *claim_no))))
            .bind(shared.settings.lease)
            .fetch_all(&shared.pool)
            .await?;
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
