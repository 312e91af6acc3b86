//! Who consumes the domain events meanwhile: a few with plain calls of pgmq, whose backends are
//! terminated, and the worker library's helper in a process that is killed.

use crate::{load::NAMESPACE, rng::Rng};
use pgtasker_core::db::{DbOptions, connect};
use pgtasker_examples::transfer;
use pgtasker_worker::{DomainEvent, EventConsumer, StepError};
use sqlx::PgPool;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As chaos knows their backends.
const NAME: &str = "faults consumer";
/// How many make plain calls.
const CONSUMERS: usize = 3;
/// How long nobody else gets an event that was read.
const VISIBLE: Duration = Duration::from_secs(2);
/// How often an event may be read whose consumers die. Beyond it becomes a dead letter, and none
/// may.
const MAX_ATTEMPTS: u32 = 1_000;

/// As in docs/events.md, but that the effect is not unique.
const CONSUME: &str = "
with event as (select * from pgmq.read($1, $2, 50)),
booked as (insert into faults.booked select message, read_ct from event)
select count(*) filter (where pgmq.delete($1, msg_id)) from event";

/// Those with plain calls.
pub struct Consumers {
    running: JoinSet<u32>,
    stop: CancellationToken,
}

impl Consumers {
    /// Starts them on the queue of [`NAMESPACE`].
    pub async fn start(url: &str, seed: u64) -> Self {
        let most = u32::try_from(CONSUMERS).unwrap();
        let pool = connect(&DbOptions::new(url, NAME).max_connections(most)).await.unwrap();
        let (mut running, stop) = (JoinSet::new(), CancellationToken::new());
        for n in 0..CONSUMERS {
            running.spawn(consume(pool.clone(), Rng::new(seed, 20 + n as u64), stop.clone()));
        }
        Self { running, stop }
    }

    /// Ends them; returns how many of their transactions were lost.
    pub async fn stop(self) -> u32 {
        self.stop.cancel();
        self.running.join_all().await.into_iter().sum()
    }
}

async fn consume(pool: PgPool, mut rng: Rng, stop: CancellationToken) -> u32 {
    let mut lost = 0;
    while !stop.is_cancelled() {
        let pause = Duration::from_millis(rng.below(30) as u64);
        match batch(&pool, pause).await {
            Ok(0) => tokio::time::sleep(pause).await,
            Ok(_) => {}
            // Whatever it had read is there again, unless the commit took place.
            Err(_) => {
                lost += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    lost
}

/// How many it was. The pause gives chaos a chance between the statement and its commit.
async fn batch(pool: &PgPool, pause: Duration) -> sqlx::Result<i64> {
    let mut tx = pool.begin().await?;
    let queue = format!("{NAMESPACE}_domain_events");
    let count = sqlx::query_scalar(CONSUME).bind(queue).bind(VISIBLE.as_secs() as i32);
    let count: i64 = count.fetch_one(&mut *tx).await?;
    if count > 0 {
        tokio::time::sleep(pause).await;
    }
    tx.commit().await?;
    Ok(count)
}

/// The process of the helper: consumes the events of transfers until it is killed.
pub async fn help(url: &str, forever: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
    let pool = connect(&DbOptions::new(url, NAME)).await?;
    let effects = pool.clone();
    let consumer = EventConsumer::builder(pool)
        .namespace(transfer::NAMESPACE)
        .visible(VISIBLE)
        .max_attempts(MAX_ATTEMPTS)
        .backoff(Duration::from_millis(100), Duration::from_secs(1))
        .handler(move |event| keep(effects.clone(), event))
        .build()?;
    Ok(consumer.run(forever).await?)
}

/// Its key makes the effect the only one. At times it fails when that is done, so that the event
/// comes again.
async fn keep(pool: PgPool, event: DomainEvent) -> Result<(), StepError> {
    let insert =
        sqlx::query("insert into faults.keyed values ($1, $2) on conflict (event_id) do nothing")
            .bind(event.id)
            .bind(serde_json::to_value(&event)?);
    let new = insert.execute(&pool).await?.rows_affected() > 0;
    if new && event.id.as_u128().is_multiple_of(8) {
        return Err(StepError::retryable("failed after its effect"));
    }
    Ok(())
}
