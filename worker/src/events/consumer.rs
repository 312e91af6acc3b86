//! The durable consumer of a namespace's domain events: a reader takes as many as there are free
//! permits, each runs on a task of its own, and what came of those that have ended is told to the
//! database at once.

mod builder;
mod finisher;
mod handling;
mod meters;
mod reader;
mod shared;

pub use builder::{ConsumerBuildError, EventConsumerBuilder};
pub use shared::EventSlot;

use crate::process::propagate;
use finisher::Finisher;
use handling::Handling;
use meters::ConsumerMeters;
use pgtasker_core::{
    Result,
    breaker::Breaker,
    health::{Health, Problem},
    meters::{PoolMeters, SAMPLE},
};
use pgtasker_queues::{Push, Wakeups, events_queue};
use reader::Reader;
use shared::{EventHandler, Settings, Shared};
use sqlx::PgPool;
use std::sync::Arc;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// Reads the durable events of one namespace and hands each to an async function.
///
/// ```no_run
/// use pgtasker_worker::{CancellationToken, DomainEvent, EventConsumer, StepError};
///
/// async fn book(event: DomainEvent) -> Result<(), StepError> {
///     if event.name != "payment.processed" {
///         return Ok(());
///     }
///     let amount = event.payload["amount"].as_f64().ok_or(StepError::permanent("no amount"))?;
///     // insert into bookings (event_id, amount) … on conflict (event_id) do nothing
///     println!("{}: {amount}", event.id);
///     Ok(())
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let options = pgtasker_worker::DbOptions::new("postgres://…", "bookings");
/// let pool = pgtasker_worker::connect(&options).await?;
/// let consumer = EventConsumer::builder(pool).namespace("orders").handler(book).build()?;
/// consumer.run(CancellationToken::new()).await?;
/// # Ok(())
/// # }
/// ```
///
/// **At least once.** An event is deleted after its handler returned `Ok`, so that one whose
/// consumer died in between comes again: [`id`](pgtasker_core::DomainEvent::id) is the idempotency
/// key, the same each time. Keep it with the effect.
///
/// **One group.** All consumers of a namespace share its queue, each event goes to one of them, and
/// so a handler gets every name and returns `Ok` for those that are not for it. Another system that
/// needs all events as well gets them from the handler. The order is about that of the queue, and a
/// retried event comes later.
///
/// **What the handler returns.** `Ok`: done. A retryable [`StepError`](crate::StepError), a panic,
/// or taking too long ([`visible`](EventConsumerBuilder::visible)): again after a growing delay, or
/// after the error's own [`retry_after`](crate::StepError::retry_after), and a dead letter when
/// [`max_attempts`](EventConsumerBuilder::max_attempts) are used up. A permanent one: a dead letter
/// at once. A dead letter stands in `tasker dead-letter list` with its reason, and `tasker
/// dead-letter retry` sends the event again.
///
/// Its database role needs `tasker_consumer` and nothing else.
pub struct EventConsumer {
    pool: PgPool,
    breaker: Option<Breaker>,
    health: Health,
    namespace: String,
    handler: EventHandler,
    settings: Settings,
}

impl EventConsumer {
    /// Starts building a consumer on `pool`, which it uses up to two connections of; and one more
    /// of its own to listen on. It keeps them where the pool has four or more.
    pub fn builder(pool: PgPool) -> EventConsumerBuilder {
        EventConsumerBuilder::new(pool)
    }

    fn new(
        pool: PgPool,
        breaker: Option<Breaker>,
        namespace: String,
        handler: EventHandler,
        settings: Settings,
    ) -> Self {
        let health = breaker.as_ref().map(|breaker| breaker.health().clone()).unwrap_or_default();
        Self { pool, breaker, health, namespace, handler, settings }
    }

    /// Whether it can do its work; to be taken before [`EventConsumer::run`].
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Runs until `shutdown` is cancelled. Then it reads no more, lets the handlers that run finish
    /// within the grace period, and gives the events of those that did not back at once.
    ///
    /// Once running, no database error ends it: it tries again until the database answers. A
    /// namespace that does not exist yet, or has no durable events yet, is waited for. A consumer
    /// that is not shut down but dropped leaves its events to the end of their visibility.
    ///
    /// # Errors
    /// At start only: when the schema is not the one this program works with, or the database
    /// refuses the connection that listens.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let (grace, health) = (self.settings.grace, self.health.clone());
        let stop = CancellationToken::new();
        let breaker =
            self.breaker.clone().unwrap_or_else(|| Breaker::new(&self.pool, health.clone()));
        let queue = events_queue(&self.namespace);
        let start = async {
            let mut starting = pgtasker_core::db::Starting::new();
            while let Err(error) = pgtasker_core::schema::check(&self.pool).await {
                starting.again(error).await?;
            }
            let push = if self.settings.poll_only { Push::PollOnly } else { Push::Listen };
            Wakeups::start(&self.pool, &breaker, std::slice::from_ref(&queue), push, stop.clone())
                .await
        };
        let Some(wakeups) = shutdown.run_until_cancelled(start).await else { return Ok(()) };
        let wakeups = wakeups?;
        let _stopped = health.stopped_on_drop();
        health.clear(Problem::NotRunning);
        let shared = Arc::new(self.share(breaker));
        tracing::info!(
            namespace = shared.namespace,
            concurrency = shared.settings.concurrency,
            "event consumer started"
        );
        // Reached also when this future is dropped.
        let _guards = [shared.abandon.clone().drop_guard(), stop.clone().drop_guard()];

        let (handled, to_finish) = mpsc::channel(shared.settings.concurrency);
        let (mut reading, mut finishing) = (JoinSet::new(), JoinSet::new());
        tokio::spawn(sample(shared.pool.clone(), stop.clone()));
        finishing
            .spawn(Finisher::new(Arc::clone(&shared), to_finish, shared.connection(&stop)).run());
        let handling = Handling::new(Arc::clone(&shared), handled);
        let connection = shared.connection(&shutdown);
        reading
            .spawn(Reader::new(handling, wakeups.waiter(&queue), connection).run(shutdown.clone()));
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(ended) = reading.join_next() => propagate(ended),
            Some(ended) = finishing.join_next() => propagate(ended),
        }
        shared.stop(grace, reading, finishing).await;
        Ok(())
    }

    fn share(self, breaker: Breaker) -> Shared {
        Shared {
            meters: ConsumerMeters::new(&self.namespace),
            permits: Arc::new(Semaphore::new(self.settings.concurrency)),
            id: Uuid::now_v7(),
            running: TaskTracker::new(),
            abandon: CancellationToken::new(),
            pool: self.pool,
            breaker,
            namespace: self.namespace,
            handler: self.handler,
            settings: self.settings,
        }
    }
}

/// Keeps the gauges of the pool, until `stop`.
async fn sample(pool: PgPool, stop: CancellationToken) {
    let meters = PoolMeters::new(&pool);
    loop {
        meters.sample();
        if stop.run_until_cancelled(tokio::time::sleep(SAMPLE)).await.is_none() {
            return;
        }
    }
}
