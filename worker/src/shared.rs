//! What all parts of one worker have in common: its limits, and the state they share.

use crate::{
    claim::Claims,
    events::{Delivery, DomainEventActor, Publishers, StepEvent},
    handler::Handlers,
    http_client::HttpClient,
    meters::Meters,
    run::{SqlSlots, TemplateCacheActor},
};
use pgtasker_core::{
    bounds::{CONCURRENCY, GRACE, LEASE, POLL_INTERVAL},
    breaker::Breaker,
    connection::OwnConnection,
    health::Problem,
    meters::PoolWait,
};
use sqlx::PgPool;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// `<namespace>_domain_events` has to stay within PostgreSQL's and pgmq's 47 characters.
pub(crate) const MAX_NAMESPACE: usize = 33;

/// The limits and times of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) concurrency: usize,
    pub(crate) poll_only: bool,
    pub(crate) poll_interval: Duration,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY.default as usize,
            poll_only: false,
            poll_interval: POLL_INTERVAL.default,
            lease: LEASE.default,
            grace: GRACE.default,
        }
    }
}

/// The values given to [`crate::WorkerBuilder::state`], by their type.
pub(crate) type StateMap = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// What the actors of one worker have in common.
pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) breaker: Breaker,
    pub(crate) worker_id: Uuid,
    pub(crate) settings: Settings,
    pub(crate) handlers: Handlers,
    pub(crate) http: HttpClient,
    pub(crate) state: Arc<StateMap>,
    pub(crate) templates: TemplateCacheActor,
    pub(crate) claims: Arc<Claims>,
    /// One per step that runs or is about to.
    pub(crate) permits: Arc<Semaphore>,
    /// Taken while a step runs alone: a permit that an overdue handler gives back meanwhile is for
    /// no claim.
    pub(crate) alone: Arc<Semaphore>,
    /// How many permits are held by handlers whose steps have ended.
    pub(crate) overdue: Arc<AtomicUsize>,
    /// One per `sql` handler, or handler with a transaction of its step, that may hold a
    /// connection.
    pub(crate) sql_slots: SqlSlots,
    pub(crate) meters: Arc<Meters>,
    pub(crate) pool_wait: PoolWait,
    pub(crate) publishers: Publishers,
    /// The functions that `sql` steps may call; none: whatever the role may.
    pub(crate) sql_allow: Option<Vec<String>>,
    pub(crate) events: Arc<DomainEventActor>,
}

impl Shared {
    /// Sets the gauges of what this worker holds.
    pub(crate) fn sample(&self) {
        self.meters.permits_in_use.set(self.running());
        self.meters.held.set(self.claims.len());
    }

    /// Says whether handlers that do not end have taken all places, or `is_over`.
    pub(crate) fn look_at_slots(&self, is_over: bool) {
        let overdue = self.overdue.load(Ordering::Relaxed);
        self.meters.overdue.set(overdue);
        let (health, problem) = (self.breaker.health(), Problem::Slots(self.worker_id));
        if overdue < self.settings.concurrency || is_over {
            health.clear(problem);
        } else {
            let reason = format!(
                "all {overdue} places of worker {} are taken by handlers that go on after their \
                 steps have ended",
                self.worker_id
            );
            health.set(problem, reason);
        }
    }

    /// Steps that run now; claims whose results are under way are not among them.
    pub(crate) fn running(&self) -> usize {
        self.settings.concurrency.saturating_sub(self.permits.available_permits())
    }

    /// The result that had these events was accepted. Counts them, and tells the subscribers. Never
    /// waits.
    pub(crate) fn announce(&self, events: &[StepEvent]) {
        for StepEvent { event, delivery, problem } in events {
            match (delivery, problem) {
                (Some(delivery), None) => {
                    self.meters.published(*delivery);
                    if *delivery != Delivery::Durable {
                        self.events.deliver(event);
                    }
                }
                (delivery, problem) => {
                    self.meters.event_refused(delivery.is_some());
                    let why = problem.as_deref().unwrap_or("the step does not declare it");
                    let correlation_id = event.correlation_id.map(tracing::field::display);
                    tracing::warn!(
                        task_id = %event.task_id,
                        correlation_id,
                        step = %event.step,
                        event = %event.name,
                        why,
                        "an event was not published: it is a dead letter now"
                    );
                }
            }
        }
    }

    /// A connection for one actor, kept or lent per call.
    pub(crate) fn connection(&self, keep: bool, stop: &CancellationToken) -> OwnConnection {
        self.connection_of(&self.pool, keep, stop)
    }

    /// The same, of another pool.
    pub(crate) fn connection_of(
        &self,
        pool: &PgPool,
        keep: bool,
        stop: &CancellationToken,
    ) -> OwnConnection {
        OwnConnection::new(pool.clone(), self.breaker.clone(), keep, stop.clone())
            .pooled(self.settings.poll_only)
            .lease(self.settings.lease)
    }
}
