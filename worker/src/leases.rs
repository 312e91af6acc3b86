//! Keeps the leases of the steps this process holds, with one statement per round, and tells handlers
//! whose step was cancelled or taken over.

use crate::{claims::StepKey, submit::claims_json, worker::Shared};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tasker_core::db::Delays;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How soon a handler learns that its step was cancelled, resolved, or taken over.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until `stop`. Every third of the lease the claims that are at least that old are extended: each
/// twice before it could run out, and short steps never are. In the rounds between, about a second each,
/// those older than a round are only looked at.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let third = shared.settings.lease / 3;
    let round = third.div_f64((third.as_secs_f64() / LOOK.as_secs_f64()).ceil().max(1.0));
    let mut delays = Delays::new(Duration::from_millis(100), third.max(Duration::from_millis(200)));
    let (mut pause, mut extended) = (round, Instant::now());
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let extends = extended.elapsed() + round / 2 >= third;
        let asked = if extends { ask(&shared, third, true) } else { ask(&shared, round, false) }.await;
        pause = match asked {
            Ok(()) => {
                if extends {
                    extended = Instant::now();
                }
                delays.reset();
                round
            }
            Err(error) => {
                let delay = delays.next();
                tracing::warn!(%error, ?delay, "cannot extend leases; will try again");
                delay
            }
        };
    }
}

/// Asks about the claims of at least this age, and tells the handlers of those that are lost.
async fn ask(shared: &Shared, age: Duration, extend: bool) -> tasker_core::Result<()> {
    let held = shared.claims.older_than(age);
    if held.is_empty() {
        return Ok(());
    }
    let claims = claims_json(held.iter().map(|(key, claim_no)| (key, *claim_no)));
    let query = if extend {
        sqlx::query_as("select task_id, step, status from tasker.extend_leases($2, $1, $3)")
            .bind(claims)
            .bind(shared.worker_id)
            .bind(shared.settings.lease)
    } else {
        sqlx::query_as("select task_id, step, status from tasker.lost_claims($1)").bind(claims)
    };
    let rows: Vec<(Uuid, String, String)> = query.fetch_all(&shared.pool).await?;
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
