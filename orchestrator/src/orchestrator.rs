//! One orchestrator process: its settings, what its actors share, and their start and stop.

use crate::{
    actor::{Actor, drive},
    context::Context,
    due::DueTimes,
    finalizer::TaskFinalizer,
    installation::Installation,
    meters,
    pruner::Pruner,
    queue_gauges::QueueGauges,
    results::{Beside, ResultProcessor},
    slow_results::SlowResults,
    stats::Stats,
    step_enqueuer::StepEnqueuer,
    task_gauges::TaskGauges,
    task_requests::TaskRequestActor,
    traces::Traces,
};
use pgtasker_core::{
    Result,
    bounds::{BATCH_SIZE, OutOfBounds, POLL_INTERVAL, SWEEP_INTERVAL},
    breaker::Breaker,
    connection::OwnConnection,
    health::{Health, Problem},
    meters::PoolMeters,
    schema,
};
use pgtasker_queues::{Push, STEP_RESULTS, TASK_REQUESTS, Waiter, Wakeups};
use sqlx::PgPool;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pooled connections with which each actor has its own: four, and one for the rest. The LISTEN
/// connection is not one of them. With fewer the actors share.
pub const CONNECTIONS: u32 = 5;

/// Runs tasks: one of any number on a database.
#[derive(Debug)]
pub struct Orchestrator {
    settings: OrchestratorBuilder,
    health: Health,
    id: Uuid,
    stats: Stats,
}

/// The settings of an [`Orchestrator`].
#[derive(Debug, Clone)]
pub struct OrchestratorBuilder {
    pool: PgPool,
    breaker: Option<Breaker>,
    push: Push,
    poll_interval: Duration,
    sweep_interval: Duration,
    batch_size: u32,
}

impl OrchestratorBuilder {
    /// Whether to do without LISTEN, for poolers in transaction mode. Default: no.
    pub fn poll_only(mut self, poll_only: bool) -> Self {
        self.push = if poll_only { Push::PollOnly } else { Push::Listen };
        self
    }

    /// How long an idle actor waits at most for a notification before it looks by itself, from 10
    /// ms to a day. Default: one second; while notifications do not arrive, at most
    /// [`pgtasker_queues::POLL_WITHOUT_PUSH`].
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// How often to look for what no message announces: lost messages; from 10 ms to a
    /// day. Default: ten seconds.
    pub fn sweep_interval(mut self, interval: Duration) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// Messages or steps per call and transaction at most, from 1 to 10,000. Default: 500.
    pub fn batch_size(mut self, batch_size: u32) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Shares the circuit breaker, and the health, of others in this process on the same database.
    /// Default: its own.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// An orchestrator with a new id. Touches no database.
    ///
    /// # Errors
    /// A setting is out of its range.
    pub fn build(self) -> Result<Orchestrator, OutOfBounds> {
        BATCH_SIZE.check(self.batch_size)?;
        POLL_INTERVAL.check(self.poll_interval)?;
        SWEEP_INTERVAL.check(self.sweep_interval)?;
        let health =
            self.breaker.as_ref().map(|breaker| breaker.health().clone()).unwrap_or_default();
        Ok(Orchestrator { settings: self, health, id: Uuid::now_v7(), stats: Stats::default() })
    }
}

impl Orchestrator {
    /// Begins with the default settings.
    pub fn builder(pool: PgPool) -> OrchestratorBuilder {
        OrchestratorBuilder {
            pool,
            breaker: None,
            push: Push::Listen,
            poll_interval: POLL_INTERVAL.default,
            sweep_interval: SWEEP_INTERVAL.default,
            batch_size: BATCH_SIZE.default,
        }
    }

    /// The id written on the transitions that this orchestrator makes. For audit only.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What it has done so far; to be taken before [`Orchestrator::run`].
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Whether it can do its work; to be taken before [`Orchestrator::run`].
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Runs until `shutdown`; calls that have begun are finished first. Database errors while
    /// running are logged, counted, and tried again, never returned.
    ///
    /// # Errors
    /// At the start only: the schema is not the one this program works with, or the database
    /// refuses.
    ///
    /// # Panics
    /// If an actor panics, after the others have stopped.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let pool = &self.settings.pool;
        let mut starting = pgtasker_core::db::Starting::new();
        while let Err(error) = schema::check(pool).await {
            starting.again(error).await?;
        }
        meters::register();
        let own = || Breaker::new(pool, self.health.clone());
        let breaker = self.settings.breaker.clone().unwrap_or_else(own);
        let queues = [TASK_REQUESTS, STEP_RESULTS].map(str::to_owned);
        let wakeups =
            Wakeups::start(pool, &breaker, &queues, self.settings.push, shutdown.child_token())
                .await?;
        // A child, so that the end of one actor can stop the others.
        let stop = shutdown.child_token();
        tracing::info!(
            orchestrator = %self.id,
            push = wakeups.push_alive(),
            batch_size = self.settings.batch_size,
            "orchestrator started"
        );
        let mut actors = self.start_actors(&wakeups, &breaker, &stop);
        let _stopped = self.health.stopped_on_drop();
        self.health.clear(Problem::NotRunning);
        let mut panicked = None;
        while let Some(ended) = actors.join_next().await {
            stop.cancel();
            if let Err(error) = ended {
                tracing::error!(%error, "an actor failed; stopping the others");
                panicked = error.try_into_panic().ok();
            }
        }
        tracing::info!(orchestrator = %self.id, done = ?self.stats.snapshot(), "orchestrator \
            stopped");
        match panicked {
            Some(panic) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }

    /// Each is a task of its own; what they share is in the database, but for the due times.
    fn start_actors(
        &self,
        wakeups: &Wakeups,
        breaker: &Breaker,
        stop: &CancellationToken,
    ) -> JoinSet<()> {
        let due = DueTimes::new();
        let keep = self.settings.pool.options().get_max_connections() >= CONNECTIONS;
        let pooled = matches!(self.settings.push, Push::PollOnly);
        let connection = |keep| {
            OwnConnection::new(self.settings.pool.clone(), breaker.clone(), keep, stop.clone())
                .pooled(pooled)
        };
        let watched = |actor, keep| connection(keep).watched(actor);
        let context = |actor, waiter| Context {
            connection: watched(actor, keep),
            waiter,
            due: due.clone(),
            stats: self.stats.clone(),
            id: self.id,
            batch_size: i32::try_from(self.settings.batch_size).unwrap_or(i32::MAX),
            poll_interval: self.settings.poll_interval,
        };
        let requests =
            TaskRequestActor::new(context(TaskRequestActor::NAME, wakeups.waiter(TASK_REQUESTS)));
        let beside = Beside::default();
        let waiter = wakeups.waiter(STEP_RESULTS);
        let results = ResultProcessor::new(context(ResultProcessor::NAME, waiter), beside.clone());
        let enqueuer = StepEnqueuer::new(context(StepEnqueuer::NAME, Waiter::polling()));
        let finalizer = TaskFinalizer {
            context: context(TaskFinalizer::NAME, Waiter::polling()),
            interval: self.settings.sweep_interval,
        };
        let slow = SlowResults {
            connection: watched(SlowResults::NAME, false),
            beside,
            stats: self.stats.clone(),
            due: due.clone(),
            id: self.id,
            interval: self.settings.sweep_interval,
            calls_then: 0,
        };
        let mut actors = JoinSet::new();
        actors.spawn(drive(requests, stop.clone()));
        actors.spawn(drive(results, stop.clone()));
        actors.spawn(drive(enqueuer, stop.clone()));
        actors.spawn(drive(finalizer, stop.clone()));
        actors.spawn(drive(slow, stop.clone()));
        actors.spawn(drive(QueueGauges(watched(QueueGauges::NAME, false)), stop.clone()));
        actors.spawn(drive(TaskGauges::new(watched(TaskGauges::NAME, false)), stop.clone()));
        actors.spawn(drive(Pruner::new(watched(Pruner::NAME, false)), stop.clone()));
        let installation = watched(Installation::NAME, false);
        actors.spawn(drive(Installation::new(installation, self.health.clone()), stop.clone()));
        actors.spawn(meters::sample(PoolMeters::new(&self.settings.pool), stop.clone()));
        if let Some(tracing) = pgtasker_telemetry::active() {
            actors.spawn(drive(Traces::new(watched(Traces::NAME, false), tracing), stop.clone()));
        }
        actors
    }
}
