//! The durable consumer of a namespace's domain events: a reader takes as many as there are free
//! permits, each runs on a task of its own, and what came of those that have ended is told to the
//! database at once.

mod builder;
mod finisher;
mod handling;
mod meters;
mod reader;

pub use builder::{ConsumerBuildError, EventConsumerBuilder};

use crate::worker::{join, propagate};
use builder::Settings;
use finisher::Finisher;
use handling::{EventHandler, Handling};
use meters::ConsumerMeters;
use pgtasker_core::{
    Result,
    breaker::Breaker,
    connection::OwnConnection,
    health::{Health, Problem},
    meters::{PoolMeters, SAMPLE},
};
use pgtasker_queues::{Push, Wakeups, events_queue};
use reader::Reader;
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a handler whose future was dropped may take to go away: a blocking one never does.
const ABANDON: Duration = Duration::from_secs(1);
/// How long what came of the last events may take to be told, where the grace period is shorter.
const FAREWELL: Duration = Duration::from_secs(5);
/// With fewer, no connection is kept: others of the program need them.
const ENOUGH_TO_KEEP: u32 = 4;

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

/// What the tasks of one consumer have in common.
struct Shared {
    pool: PgPool,
    breaker: Breaker,
    namespace: String,
    handler: EventHandler,
    settings: Settings,
    meters: ConsumerMeters,
    /// One per event, from before it is read until the database knows what came of it.
    permits: Arc<Semaphore>,
    /// The handlers that run.
    running: TaskTracker,
    /// Drops them.
    abandon: CancellationToken,
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

impl Shared {
    /// A connection for one of the two tasks that call the database; `stop` ends its waiting for
    /// one.
    fn connection(&self, stop: &CancellationToken) -> OwnConnection {
        let keep = self.pool.options().get_max_connections() >= ENOUGH_TO_KEEP;
        OwnConnection::new(self.pool.clone(), self.breaker.clone(), keep, stop.clone())
            .pooled(self.settings.poll_only)
    }

    async fn stop(&self, grace: Duration, mut reading: JoinSet<()>, mut finishing: JoinSet<()>) {
        tracing::info!(
            namespace = self.namespace,
            running = self.running.len(),
            ?grace,
            "event consumer stops: it reads no more, and waits for the handlers that run"
        );
        let finished = timeout_at(Instant::now() + grace, async {
            join(&mut reading).await;
            self.running.close();
            self.running.wait().await;
        });
        if finished.await.is_err() {
            self.abandon.cancel();
            // Only a read that the database does not answer can still be under way.
            reading.shutdown().await;
            self.running.close();
            if timeout(ABANDON, self.running.wait()).await.is_err() {
                tracing::warn!(
                    handlers = self.running.len(),
                    "handlers block their threads: their events are read again once they are \
                     visible"
                );
            }
        }
        // Ends by itself when nobody is left who could send it anything.
        if timeout(grace.max(FAREWELL), join(&mut finishing)).await.is_err() {
            tracing::warn!(
                "the database could not be told what came of the last events: they are read again \
                 once they are visible"
            );
            finishing.shutdown().await;
        }
        tracing::info!(namespace = self.namespace, "event consumer stopped");
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
