//! What all parts of one event consumer have in common: its limits, and the state they share.

use super::meters::ConsumerMeters;
use crate::{StepError, process::join};
use futures_util::future::BoxFuture;
use pgtasker_core::{
    DomainEvent,
    bounds::{GRACE, POLL_INTERVAL, VISIBLE},
    breaker::Breaker,
    connection::OwnConnection,
};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// How long a handler whose future was dropped may take to go away: a blocking one never does.
const ABANDON: Duration = Duration::from_secs(1);
/// How long what came of the last events may take to be told, where the grace period is shorter.
const FAREWELL: Duration = Duration::from_secs(5);
/// With fewer, no connection is kept: others of the program need them.
const ENOUGH_TO_KEEP: u32 = 4;

/// The user's function.
pub(super) type EventHandler =
    Arc<dyn Fn(DomainEvent, EventSlot) -> BoxFuture<'static, Result<(), StepError>> + Send + Sync>;

/// An event's place among the consumer's concurrency. It stays taken for as long as this is kept,
/// which may be longer than the event's time: a thread cannot be ended.
pub struct EventSlot {
    pub(super) _permit: Arc<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for EventSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSlot").finish_non_exhaustive()
    }
}

/// The limits and times of a consumer.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) batch: usize,
    pub(super) concurrency: usize,
    pub(super) visible: Duration,
    pub(super) max_attempts: u32,
    /// The first delay, and the longest.
    pub(super) backoff: (Duration, Duration),
    pub(super) poll_interval: Duration,
    pub(super) poll_only: bool,
    pub(super) grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 100,
            concurrency: 16,
            visible: VISIBLE.default,
            max_attempts: 10,
            backoff: (Duration::from_secs(1), Duration::from_secs(300)),
            poll_interval: POLL_INTERVAL.default,
            poll_only: false,
            grace: GRACE.default,
        }
    }
}

impl Settings {
    /// How long a handler may take. The rest of the visibility is for telling the database what
    /// came of it.
    pub(super) fn timeout(&self) -> Duration {
        self.visible * 3 / 4
    }
}

/// What the tasks of one consumer have in common.
pub(super) struct Shared {
    pub(super) pool: PgPool,
    pub(super) breaker: Breaker,
    pub(super) namespace: String,
    pub(super) handler: EventHandler,
    pub(super) settings: Settings,
    pub(super) meters: ConsumerMeters,
    /// One per event, from before it is read until the database knows what came of it.
    pub(super) permits: Arc<Semaphore>,
    /// By which a problem with them is known.
    pub(super) id: Uuid,
    /// The handlers that run.
    pub(super) running: TaskTracker,
    /// Drops them.
    pub(super) abandon: CancellationToken,
}

impl Shared {
    /// A connection for one of the two tasks that call the database; `stop` ends its waiting for
    /// one.
    pub(super) fn connection(&self, stop: &CancellationToken) -> OwnConnection {
        let keep = self.pool.options().get_max_connections() >= ENOUGH_TO_KEEP;
        OwnConnection::new(self.pool.clone(), self.breaker.clone(), keep, stop.clone())
            .pooled(self.settings.poll_only)
    }

    /// Lets what runs end within the grace period, and then drops it.
    pub(super) async fn stop(
        &self,
        grace: Duration,
        mut reading: JoinSet<()>,
        mut finishing: JoinSet<()>,
    ) {
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
