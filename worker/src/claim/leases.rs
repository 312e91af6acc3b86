//! Keeps the leases of the steps this process holds, with one statement per round, and tells
//! handlers whose step was cancelled or taken over.

use super::{LONGEST_ROUND, StepKey, claims_json};
use crate::shared::Shared;
use pgtasker_core::{
    ClaimStatus,
    connection::OwnConnection,
    db::Retry,
    failpoint,
    health::{Health, Problem},
    pooler::DbConnection,
};
use sqlx::PgPool;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How soon a handler learns that its step was cancelled, resolved, or taken over.
const LOOK: Duration = LONGEST_ROUND;

/// Runs until `stop`. In each round, a second or less, one statement extends the claims of which a
/// third of the lease has passed: each is extended twice before it could run out, and short steps
/// never are. Another looks whether the others still count.
pub(crate) async fn run(shared: Arc<Shared>, pool: &PgPool, stop: CancellationToken) {
    let lease = shared.settings.lease;
    let mut retry =
        Retry::new(Duration::from_millis(100), (lease / 3).max(Duration::from_millis(200)));
    let mut connection = shared.connection_of(pool, false, &stop);
    let mut watch = Watch {
        health: shared.breaker.health().clone(),
        worker: shared.worker_id,
        lease,
        kept: Instant::now(),
        failing: false,
    };
    let (mut delay, mut looked) = (None, Instant::now());
    loop {
        let pause = async {
            match delay.take() {
                Some(delay) => sleep(delay).await,
                None => shared.claims.next_round().await,
            }
        };
        if stop.run_until_cancelled(pause).await.is_none() {
            break;
        }
        let round = watch.over(async {
            let round = extend(&shared, &mut connection).await?;
            look(&shared, &mut connection, &mut looked).await?;
            Ok(round)
        });
        match stop.run_until_cancelled(round).await {
            None => break,
            Some(Ok(())) => retry.over(),
            Some(Err(error)) => {
                let (wait, tell) = retry.failed(&error);
                if tell {
                    tracing::warn!(%error, ?wait, "cannot extend leases; will try again");
                }
                delay = Some(wait);
            }
        }
    }
    watch.health.clear(Problem::Leases(shared.worker_id));
}

/// Tells the health when leases could not be extended for as long as they are.
struct Watch {
    health: Health,
    worker: Uuid,
    lease: Duration,
    /// The last good round.
    kept: Instant,
    /// Whether the last one that had something to extend failed.
    failing: bool,
}

/// What a round did.
enum Round {
    /// No step is held.
    Idle,
    /// None of them is due.
    Nothing,
    Extended,
}

impl Watch {
    /// Waits for a round, which may hang.
    async fn over(
        &mut self,
        round: impl Future<Output = pgtasker_core::Result<Round>>,
    ) -> pgtasker_core::Result<()> {
        let late = async {
            sleep_until(self.kept + self.lease).await;
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
        match &result {
            // Says nothing where the last ones could not be extended: steps that were lost are
            // claimed again.
            Ok(Round::Nothing) if self.failing => {}
            Ok(_) => {
                self.failing = false;
                self.kept = Instant::now();
                self.health.clear(Problem::Leases(self.worker));
            }
            Err(_) => self.failing = true,
        }
        result.map(drop)
    }
}

/// How long a handler may keep its thread before people are told.
const BLOCKS: Duration = Duration::from_secs(1);
/// Bounds the names remembered.
const MAX_TOLD: usize = 1_000;
/// How often of the same handler.
const TOLD: Duration = Duration::from_secs(60);

/// Names the handlers that block their threads, until `stop`: nothing else runs there meanwhile, no
/// other handler, no claim, and no result.
pub(crate) async fn watch_threads(shared: &Shared, stop: &CancellationToken) {
    let mut told: HashMap<String, Instant> = HashMap::new();
    while stop.run_until_cancelled(sleep(BLOCKS / 2)).await.is_some() {
        for (key, handler, time) in shared.claims.blocking(BLOCKS) {
            if told.get(&handler).is_some_and(|at| at.elapsed() < TOLD) || told.len() > MAX_TOLD {
                continue;
            }
            tracing::warn!(
                task_id = %key.task_id, step = %key.step, handler, ?time,
                "this handler blocks its thread: other steps wait for it. Let it await, or move \
                 the work to tokio::task::spawn_blocking"
            );
            told.insert(handler, Instant::now());
        }
    }
}

/// How long an answer may take: a dead connection is given up while there is time for another.
fn limit(shared: &Shared) -> Duration {
    (shared.settings.lease / 6).max(LOOK)
}

async fn extend(shared: &Shared, connection: &mut OwnConnection) -> pgtasker_core::Result<Round> {
    let held = shared.claims.due();
    if held.is_empty() {
        return Ok(if shared.claims.len() == 0 { Round::Idle } else { Round::Nothing });
    }
    failpoint::reach("worker.before_extend");
    let since = std::time::Instant::now();
    let extend = async |connection: &mut DbConnection<'_>| {
        sqlx::query_as(
            "select task_id, step, claim_no, status from tasker.extend_leases($1, $2, $3)",
        )
        .bind(shared.worker_id)
        .bind(claims_json(held.iter().map(|(key, claim_no)| (key, *claim_no))))
        .bind(shared.settings.lease)
        .fetch_all(connection)
        .await
    };
    let rows: Vec<Answer> = connection.call_within(limit(shared), extend).await?;
    failpoint::reach("worker.after_extend");
    shared.claims.extended(&held, since);
    tell(shared, rows);
    Ok(Round::Extended)
}

async fn look(
    shared: &Shared,
    connection: &mut OwnConnection,
    looked: &mut Instant,
) -> pgtasker_core::Result<()> {
    if looked.elapsed() < LOOK / 2 {
        return Ok(());
    }
    *looked = Instant::now();
    let held = shared.claims.older_than(LOOK);
    if held.is_empty() {
        return Ok(());
    }
    let look = async |connection: &mut DbConnection<'_>| {
        sqlx::query_as("select task_id, step, claim_no, status from tasker.lost_claims($1)")
            .bind(claims_json(held.iter().map(|(key, claim_no)| (key, *claim_no))))
            .fetch_all(connection)
            .await
    };
    let rows: Vec<Answer> = connection.call_within(limit(shared), look).await?;
    tell(shared, rows);
    Ok(())
}

/// Task, step, claim number, and what became of the claim.
type Answer = (Uuid, String, i32, ClaimStatus);

/// Tells the handlers of claims that are lost.
fn tell(shared: &Shared, rows: Vec<Answer>) {
    for (task_id, step, claim_no, status) in
        rows.into_iter().filter(|(.., status)| *status != ClaimStatus::Extended)
    {
        let key = StepKey { task_id, step: step.into() };
        if let Some(correlation_id) = shared.claims.lose(&key, claim_no) {
            shared.meters.lost(&status);
            let correlation_id = correlation_id.map(tracing::field::display);
            tracing::info!(%task_id, correlation_id, step = %key.step, %status, "the step is no \
                longer this worker's: told its handler to stop");
        }
    }
}

/// Whether the claim still counts; not known is no.
pub(crate) async fn is_ours(shared: &Shared, key: &StepKey, claim_no: i32) -> bool {
    let lost = async |connection: &mut DbConnection<'_>| {
        sqlx::query_scalar(
            "select exists (select from tasker.lost_claims($1) where status <> 'extended')",
        )
        .bind(claims_json(std::iter::once((key, claim_no))))
        .fetch_one(connection)
        .await
    };
    let mut connection = shared.connection(false, &CancellationToken::new());
    connection.call(lost).await.is_ok_and(|lost: bool| !lost)
}
