//! A worker: its actors, started together, and their orderly end.

use crate::{
    builder::{BuildError, WorkerBuilder},
    claim::{Claims, dispatch::FollowUp, executor::StepExecutorActor},
    events::{DomainEventActor, EventSubscription, Publishers},
    handler::{Callables, Handlers, Resolvers},
    http_client::HttpClient,
    meters::Meters,
    process::{WorkerStatusActor, apart, join, propagate},
    run::{self, Runner, SqlSlots, TemplateCacheActor},
    shared::{Settings, Shared, StateMap},
    submit::{self, CompletionActor, PgSubmitter, Submitter},
};
use pgtasker_core::{
    Result,
    breaker::Breaker,
    health::{Health, Problem},
    meters::{PoolMeters, PoolWait, SAMPLE},
    signals,
};
use pgtasker_queues::{Push, Wakeups, worker_queue};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// How long a handler whose future was dropped may take to go away: a blocking one never does.
const ABANDON: Duration = Duration::from_secs(1);
/// Events that wait for a subscriber.
const SUBSCRIBED: usize = 1_024;
/// How long a farewell to the database may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A process that claims and runs the steps of its namespaces. Any number of them may share a
/// namespace.
pub struct Worker {
    pool: PgPool,
    breaker: Option<Breaker>,
    health: Health,
    id: Uuid,
    namespaces: Vec<String>,
    handlers: Callables,
    resolvers: Resolvers,
    state: StateMap,
    pub(crate) publishers: Publishers,
    pub(crate) sql_allow: Option<Vec<String>>,
    events: Arc<DomainEventActor>,
    settings: Settings,
}

/// The channels' receivers and the tokens that end the actors, in the order in which they are used.
struct Running {
    shared: Arc<Shared>,
    /// Fetcher and dispatcher, which end at shutdown.
    front: JoinSet<()>,
    /// The steps that run.
    steps: TaskTracker,
    /// Drops the handlers that still run.
    abandon: CancellationToken,
    completion: JoinSet<()>,
    /// Lets the completion side end once its channel is empty.
    finish: CancellationToken,
    /// Leases and heartbeats, which end last.
    back: JoinSet<()>,
    stop: CancellationToken,
}

impl Worker {
    /// Starts building a worker on `pool`.
    ///
    /// The pool should have at least four connections: claims, results, and leases use up to three
    /// at once, and each running `sql` handler holds one more, as does each transaction of
    /// [`crate::StepContext::begin`]. With n connections, n - 3 of them run at once (at least one);
    /// the others wait for their turn, `sql` handlers without using up their timeout.
    pub fn builder(pool: PgPool) -> WorkerBuilder {
        WorkerBuilder::new(pool)
    }

    pub(crate) fn new(
        pool: PgPool,
        breaker: Option<Breaker>,
        namespaces: Vec<String>,
        handlers: Callables,
        resolvers: Resolvers,
        state: StateMap,
        settings: Settings,
    ) -> Self {
        let health = breaker.as_ref().map(|breaker| breaker.health().clone()).unwrap_or_default();
        let (id, events) = (Uuid::now_v7(), Arc::new(DomainEventActor::new()));
        Self {
            pool,
            breaker,
            health,
            id,
            namespaces,
            handlers,
            resolvers,
            state,
            publishers: Publishers::new(),
            sql_allow: None,
            events,
            settings,
        }
    }

    /// Whether it can do its work; to be taken before [`Worker::run`].
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// The id under which this worker stands in `worker_overview` and in the audit.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The namespaces served.
    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// The names of all registered handlers, the built-in ones too, sorted.
    pub fn handlers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.handlers.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The fast and broadcast events of the steps that this worker runs, from now on, whose names
    /// match: `payment.processed`, `payment.*` (any words after the dot), `*`. Up to 1,024 wait for
    /// the subscriber; then the oldest are lost, counted by [`EventSubscription::lost`] and
    /// `tasker_events_lost_total`. The worker waits for no subscriber.
    ///
    /// # Errors
    /// No name can match such a pattern.
    pub fn subscribe(&self, pattern: &str) -> std::result::Result<EventSubscription, BuildError> {
        let pattern = pattern.parse().map_err(BuildError::InvalidPattern)?;
        Ok(self.events.subscribe(pattern, SUBSCRIBED))
    }

    /// Runs until `shutdown` is cancelled. Then it stops claiming, lets running steps finish within
    /// the grace period, delivers their results, gives the unfinished steps back, and signs off.
    ///
    /// Once running, no database error ends it: it tries again until the database answers. A worker
    /// that is not shut down but dropped leaves its steps to their leases.
    ///
    /// # Errors
    /// At start only: when the schema is not the one this program works with, or the database
    /// refuses the first heartbeat.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let (grace, health) = (self.settings.grace, self.health.clone());
        let start = async {
            let mut starting = pgtasker_core::db::Starting::new();
            while let Err(error) = pgtasker_core::schema::check(&self.pool).await {
                starting.again(error).await?;
            }
            self.start(&shutdown).await
        };
        let Some(started) = shutdown.run_until_cancelled(start).await else { return Ok(()) };
        let mut running = started?;
        let _stopped = health.stopped_on_drop();
        health.clear(Problem::NotRunning);
        // Reached also when this future is dropped.
        let _guards = [running.abandon.clone().drop_guard(), running.stop.clone().drop_guard()];
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(ended) = running.front.join_next() => propagate(ended),
            Some(ended) = running.completion.join_next() => propagate(ended),
            Some(ended) = running.back.join_next() => propagate(ended),
        }
        running.stop(grace).await;
        Ok(())
    }

    async fn start(self, shutdown: &CancellationToken) -> Result<Running> {
        let stop = CancellationToken::new();
        // Ends what has been started when the rest does not start.
        let unless_started = stop.clone().drop_guard();
        let queues: Vec<String> = self.namespaces.iter().map(|n| worker_queue(n)).collect();
        let push = if self.settings.poll_only { Push::PollOnly } else { Push::Listen };
        let breaker =
            self.breaker.clone().unwrap_or_else(|| Breaker::new(&self.pool, self.health.clone()));
        let wakeups = Wakeups::start(&self.pool, &breaker, &queues, push, stop.clone()).await?;
        let waiters = self
            .namespaces
            .iter()
            .zip(&queues)
            .map(|(n, queue)| (n.clone(), wakeups.waiter(queue)))
            .collect();
        let namespaces = self.namespaces.clone();
        let shared = Arc::new(self.share(breaker));
        let concurrency = shared.settings.concurrency;

        let mut status =
            WorkerStatusActor::new(Arc::clone(&shared), wakeups, namespaces.clone(), &stop).await;
        let mut starting = pgtasker_core::db::Starting::new();
        while let Err(error) = status.beat().await {
            starting.again(error).await?;
        }
        tracing::info!(worker_id = %shared.worker_id, ?namespaces, concurrency, "worker started");

        let (dispatch, dispatched) = mpsc::channel(concurrency);
        let (completions, completed) = mpsc::channel(submit::capacity(concurrency));
        let (abandon, finish, steps) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let runner =
            Arc::new(Runner::new(Arc::clone(&shared), completions.clone(), abandon.clone()));
        let submitter = PgSubmitter::new(Arc::clone(&shared), stop.clone());

        let follow_up = FollowUp {
            shared: Arc::clone(&shared),
            dispatch: dispatch.downgrade(),
            shutdown: shutdown.clone(),
        };
        let mut front = JoinSet::new();
        let connection = shared.connection(true, shutdown).watched("worker_claims");
        front.spawn(
            StepExecutorActor::new(Arc::clone(&shared), waiters, dispatch, completions, connection)
                .run(shutdown.clone()),
        );
        front.spawn(run::run(dispatched, runner, steps.clone()));
        let mut completion = JoinSet::new();
        completion.spawn(
            CompletionActor::new(submitter, completed, Some(follow_up), Arc::clone(&shared.meters))
                .run(finish.clone()),
        );
        let mut back = JoinSet::new();
        back.spawn(apart::run(Arc::clone(&shared), status, stop.clone()));
        back.spawn(sample(Arc::clone(&shared), stop.clone()));
        unless_started.disarm();
        Ok(Running { shared, front, steps, abandon, completion, finish, back, stop })
    }

    fn share(self, breaker: Breaker) -> Shared {
        Shared {
            worker_id: self.id,
            handlers: Handlers::new(self.handlers, self.resolvers),
            http: HttpClient::default(),
            state: Arc::new(self.state),
            templates: TemplateCacheActor::new(
                self.pool.clone(),
                breaker.clone(),
                self.settings.poll_only,
            ),
            claims: Arc::<Claims>::default(),
            permits: Arc::new(Semaphore::new(self.settings.concurrency)),
            alone: Arc::new(Semaphore::new(1)),
            overdue: Arc::default(),
            sql_slots: SqlSlots::new(self.pool.options().get_max_connections()),
            meters: Arc::new(Meters::new(
                self.settings.concurrency,
                submit::capacity(self.settings.concurrency),
            )),
            pool_wait: PoolWait::new(&self.pool),
            publishers: self.publishers,
            sql_allow: self.sql_allow,
            events: self.events,
            settings: self.settings,
            pool: self.pool,
            breaker,
        }
    }
}

/// Keeps the gauges of what changes all the time, until `stop`.
async fn sample(shared: Arc<Shared>, stop: CancellationToken) {
    let pool = PoolMeters::new(&shared.pool);
    loop {
        pool.sample();
        shared.sample();
        shared.look_at_slots(false);
        if stop.run_until_cancelled(tokio::time::sleep(SAMPLE)).await.is_none() {
            shared.look_at_slots(true);
            return;
        }
    }
}

impl Running {
    async fn stop(mut self, grace: Duration) {
        let running = self.shared.claims.len();
        tracing::info!(running, ?grace, "worker stops: no more claims, waiting for running steps");
        let deadline = Instant::now() + grace;
        let finished = timeout_at(deadline, async {
            join(&mut self.front).await;
            self.steps.close();
            self.steps.wait().await;
        });
        let is_finished = tokio::select! {
            finished = finished => finished.is_ok(),
            () = signals::hurry() => false,
        };
        if !is_finished {
            self.abandon.cancel();
            // Only a claim that the database does not answer can still be under way.
            self.front.shutdown().await;
            self.steps.close();
            if timeout(ABANDON, self.steps.wait()).await.is_err() {
                tracing::warn!(
                    steps = self.steps.len(),
                    "handlers block their threads: their steps are released all the same"
                );
            }
        }
        self.finish.cancel();
        if timeout(grace.max(FAREWELL), join(&mut self.completion)).await.is_err() {
            tracing::error!(
                steps = self.shared.claims.len(),
                "the database does not take the last results: these steps run again once their \
                 leases have run out"
            );
            self.completion.shutdown().await;
        }
        self.sign_off().await;
        self.stop.cancel();
        join(&mut self.back).await;
        tracing::info!(worker_id = %self.shared.worker_id, "worker stopped");
    }

    /// Releases what is still held, and removes the worker from the overview.
    async fn sign_off(&self) {
        let Shared { worker_id, claims, .. } = &*self.shared;
        let held = claims.older_than(Duration::ZERO);
        if !held.is_empty() {
            let held: Vec<_> = held.iter().map(|(key, claim_no)| (key, *claim_no)).collect();
            let submitter = PgSubmitter::new(Arc::clone(&self.shared), self.stop.clone());
            let release = submitter.release(
                &held,
                Duration::ZERO,
                "the worker was shut down before the handler ended",
                false,
            );
            log_farewell(
                "release the last steps",
                timeout(FAREWELL, release).await.map(|done| done.map(drop)),
            );
        }
        let mut connection = self.shared.connection(false, &self.stop);
        let remove = connection.call(async |connection| {
            sqlx::query("select tasker.remove_worker($1)")
                .bind(worker_id)
                .execute(connection)
                .await
                .map(drop)
        });
        log_farewell("sign off", timeout(FAREWELL, remove).await);
    }
}

fn log_farewell(what: &str, result: std::result::Result<Result<()>, tokio::time::error::Elapsed>) {
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot {what}"),
        Err(_) => tracing::warn!("cannot {what}: no answer within {FAREWELL:?}"),
    }
}
