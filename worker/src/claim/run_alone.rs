//! Steps that two workers died with: each runs when all others of this worker have ended, and
//! nothing is claimed meanwhile. So the third death tells who was to blame, and takes no neighbour
//! along.

use super::{
    Claim, StepKey, Ticket, claims_json,
    dispatch::{self, Dispatched},
};
use crate::shared::Shared;
use pgtasker_core::{ClaimStatus, connection::OwnConnection, failpoint, pooler::DbConnection};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Between two tries to tell the database.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked which permits can be had at all.
const LOOK: Duration = Duration::from_secs(2);

/// Runs these one after another; returns when the last has been started. Their leases are extended
/// while they wait. Those that are left at shutdown are to be released.
pub(crate) async fn all(
    shared: &Shared,
    connection: &mut OwnConnection,
    dispatch: &mpsc::Sender<Dispatched>,
    suspects: Vec<Claim>,
    since: Instant,
    shutdown: &CancellationToken,
) -> Vec<Ticket> {
    let hold = |claim: Claim| (dispatch::hold(shared, &claim, since), claim);
    let mut waiting: VecDeque<(Ticket, Claim)> = suspects.into_iter().map(hold).collect();
    while let Some((ticket, claim)) = waiting.pop_front() {
        let started = async {
            let alone = Arc::clone(&shared.alone).acquire_owned().await.ok()?;
            // All of them: everything else has ended, and nothing begins.
            let permit = all_permits(shared).await?;
            (!ticket.cancelled.is_cancelled() && tell(shared, connection, &ticket).await)
                .then_some((permit, alone))
        };
        match shutdown.run_until_cancelled(started).await {
            Some(Some((permit, alone))) => {
                tracing::warn!(
                    task_id = %ticket.key.task_id,
                    correlation_id = ticket.correlation(),
                    step = %ticket.key.step,
                    handler = claim.handler,
                    losses = claim.lease_losses,
                    "two workers died while they ran this step: it runs alone now"
                );
                failpoint::reach("worker.before_alone");
                let (alone, claimed) = (Some(alone), Instant::now());
                let step = Dispatched { claim, ticket, permit, alone, claimed };
                if let Err(closed) = dispatch.send(step).await {
                    waiting.push_back((closed.0.ticket, closed.0.claim));
                    break;
                }
            }
            // It is no longer this worker's.
            Some(None) => {}
            None => {
                waiting.push_back((ticket, claim));
                break;
            }
        }
    }
    waiting.into_iter().map(|(ticket, _)| ticket).collect()
}

/// But for those of handlers that may never end.
async fn all_permits(shared: &Shared) -> Option<OwnedSemaphorePermit> {
    loop {
        let overdue = shared.overdue.load(Ordering::Relaxed);
        let all = shared.settings.concurrency.saturating_sub(overdue).max(1);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let acquire = Arc::clone(&shared.permits).acquire_many_owned(all);
        // A handler may have become one of those meanwhile.
        if let Ok(permits) = timeout(LOOK, acquire).await {
            return permits.ok();
        }
    }
}

/// Tells the database that it begins; false: the claim counts no more.
async fn tell(shared: &Shared, connection: &mut OwnConnection, ticket: &Ticket) -> bool {
    loop {
        let key: &StepKey = &ticket.key;
        let claim = claims_json(std::iter::once((key, ticket.claim_no)));
        let call = async |connection: &mut DbConnection<'_>| {
            sqlx::query_scalar::<_, ClaimStatus>("select tasker.run_alone($1, $2)")
                .bind(shared.worker_id)
                .bind(&claim[0])
                .fetch_one(connection)
                .await
        };
        match connection.call(call).await {
            Ok(ClaimStatus::Alone) => return true,
            Ok(ClaimStatus::Busy) => {}
            Ok(_) => return false,
            Err(error) => {
                tracing::warn!(%error, "cannot begin a step that runs alone; will try again")
            }
        }
        sleep(PAUSE).await;
    }
}
