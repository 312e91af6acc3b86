//! The surface of the bridge: everything that a language calls.

use crate::{
    actor::{FfiCompletionActor, LATE},
    ask,
    call::{Call, Calls, Question},
    item::Item,
    log,
    metrics::{recorder, watch},
    options::{ConsumerOptions, Options},
    publisher::ForeignPublisher,
    queue::Queue,
    reply::Reply,
};
use ::metrics::counter;
use futures_util::FutureExt;
use pgtasker_core::{breaker::Breaker, health::Health, limited, schema};
use pgtasker_telemetry::endpoint::PrometheusHandle;
use pgtasker_worker::{
    CancellationToken, DbOptions, DomainEvent, EventConsumer, EventSlot, EventSubscription,
    Failure, Handler, Served, StepError, StepOutcome, WorkerBuilder, connect,
};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{Semaphore, watch},
    time::timeout,
};
use uuid::Uuid;

/// Whatever the machine: the worker waits for the database, and the cores are the language's.
const THREADS: usize = 2;
/// Questions under way at once, those that the language does not wait for included.
const QUESTIONS: usize = 10_000;
/// How long open connections may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a consumer that starts before its database waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a call of the bridge is refused; never for what a single step is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The options are not such.
    #[error("{0}")]
    Options(String),
    /// The worker could not start.
    #[error("{0}")]
    Start(String),
    /// Too many questions at once, or none is answered any more.
    #[error("the worker answers at most {0} questions at once, and none after its end")]
    Questions(usize),
    /// It was started by another process, of which this is a fork.
    #[error(
        "this worker was started in process {started}, and its threads are not in its fork \
         {here}: start the worker after the fork"
    )]
    Forked {
        /// Where it was started.
        started: u32,
        /// Where it was called.
        here: u32,
    },
}

/// What became of the start, and of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Starting,
    Running,
    Ended(Option<String>),
}

/// A worker or a consumer whose handlers are written in another language; see the crate.
pub struct Bridge {
    /// Taken at the end only.
    threads: Option<Runtime>,
    runtime: Handle,
    pid: u32,
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    calls: Arc<Calls>,
    health: Health,
    shutdown: CancellationToken,
    stage: watch::Sender<Stage>,
    questions: Arc<Semaphore>,
    id: Mutex<Option<Uuid>>,
}

impl Bridge {
    /// Starts a worker with these [`Options`], as JSON, on threads of its own, and returns at once:
    /// [`Bridge::started`] tells whether it runs.
    ///
    /// # Errors
    /// The options are not such.
    pub fn start(options: &str) -> Result<Self, BridgeError> {
        let options: Options = read(options)?;
        let bridge = Self::with(options.log.as_deref())?;
        let inner = Arc::clone(&bridge.inner);
        bridge.runtime.spawn(async move { inner.run(inner.work(options)).await });
        Ok(bridge)
    }

    /// Starts a consumer of domain events with these [`ConsumerOptions`], as JSON, like
    /// [`Bridge::start`].
    ///
    /// # Errors
    /// The options are not such.
    pub fn start_consumer(options: &str) -> Result<Self, BridgeError> {
        let options: ConsumerOptions = read(options)?;
        let bridge = Self::with(options.log.as_deref())?;
        let inner = Arc::clone(&bridge.inner);
        bridge.runtime.spawn(async move { inner.run(inner.consume(options)).await });
        Ok(bridge)
    }

    fn with(filter: Option<&str>) -> Result<Self, BridgeError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("tasker")
            .enable_all()
            .build()
            .map_err(|error| BridgeError::Start(format!("no threads: {error}")))?;
        {
            // Traces are exported from within a runtime.
            let _within = runtime.enter();
            log::start(filter).map_err(BridgeError::Options)?;
            recorder();
        }
        let inner = Inner {
            queue: Arc::default(),
            calls: Arc::default(),
            health: Health::new(),
            shutdown: CancellationToken::new(),
            stage: watch::Sender::new(Stage::Starting),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            id: Mutex::default(),
        };
        let handle = runtime.handle().clone();
        let (pid, inner) = (std::process::id(), Arc::new(inner));
        Ok(Self { threads: Some(runtime), runtime: handle, pid, inner })
    }

    fn here(&self) -> Result<(), BridgeError> {
        let (started, here) = (self.pid, std::process::id());
        if started == here { Ok(()) } else { Err(BridgeError::Forked { started, here }) }
    }

    /// Waits until it runs; false: not yet.
    ///
    /// # Errors
    /// It could not start: the configuration, a handler's name, or the database.
    pub fn started(&self, wait: Duration) -> Result<bool, BridgeError> {
        self.here()?;
        let mut stage = self.inner.stage.subscribe();
        let changed = async { stage.wait_for(|stage| *stage != Stage::Starting).await.is_ok() };
        self.runtime.block_on(async { timeout(wait, changed).await.ok() });
        let stage = self.inner.stage.borrow().clone();
        match stage {
            Stage::Starting => Ok(false),
            Stage::Running | Stage::Ended(None) => Ok(true),
            Stage::Ended(Some(error)) => Err(BridgeError::Start(error)),
        }
    }

    /// Waits for items, and returns those that are there, up to `max`. None: nothing came in time.
    /// After the end it returns `stopped`, again and again.
    ///
    /// # Errors
    /// In a fork.
    pub fn poll(&self, max: usize, wait: Duration) -> Result<Vec<String>, BridgeError> {
        self.here()?;
        Ok(self.runtime.block_on(self.inner.queue.poll(max, wait)))
    }

    /// The same for a language with an event loop: `then` is called in a thread of the bridge, from
    /// which the loop is one step away. The bridge lives until then.
    pub fn poll_then(
        self: &Arc<Self>,
        max: usize,
        wait: Duration,
        then: impl FnOnce(Result<Vec<String>, BridgeError>) + Send + 'static,
    ) {
        if let Err(error) = self.here() {
            return then(Err(error));
        }
        let bridge = Arc::clone(self);
        self.runtime.spawn(async move {
            let polled = AssertUnwindSafe(bridge.inner.queue.poll(max, wait)).catch_unwind().await;
            then(Ok(polled.unwrap_or_default()));
        });
    }

    /// Answers items by their ids. Returns how many nobody waited for any more; an answer that
    /// cannot be read is a failure of its own step.
    ///
    /// # Errors
    /// In a fork.
    pub fn complete<'a>(
        &self,
        answers: impl IntoIterator<Item = (u64, &'a str)>,
    ) -> Result<usize, BridgeError> {
        self.here()?;
        let (calls, mut late, mut steps) = (&self.inner.calls, 0, Vec::new());
        for (id, text) in answers {
            let is_awaited = match calls.remove(id) {
                Some(call) => {
                    let is_awaited = call.is_awaited();
                    steps.push((call, text.to_owned()));
                    is_awaited
                }
                None => calls.answer_other(id, text.to_owned()),
            };
            late += usize::from(!is_awaited);
        }
        if late > 0 {
            counter!(LATE).increment(late as u64);
        }
        // From within the runtime, where waking a step's task is a push to a queue, while from here
        // each might wake a thread; and all are answered before the first goes on, so that their
        // results go to the database together.
        if !steps.is_empty() {
            let answer = |(call, text): (Arc<Call>, String)| call.answer(text);
            self.runtime.spawn(async move { steps.into_iter().for_each(answer) });
        }
        Ok(late)
    }

    /// Asks something for the step `id`, and waits for the answer: `{"value":…}`, or
    /// `{"error":{…}}` with the fields of a failure. What may be asked: `publish`, `batch_page`,
    /// `parent_page`, `http`, `prepare`, `refused`, `commits`, `committed`.
    ///
    /// # Errors
    /// In a fork.
    pub fn ask(&self, id: u64, what: &str, arguments: &str) -> Result<String, BridgeError> {
        self.here()?;
        let call = self.inner.calls.get(id);
        Ok(self.runtime.block_on(async {
            let _place = self.inner.questions.acquire().await;
            ask::answer(call, what, arguments).await
        }))
    }

    /// The same without waiting: the answer comes as an item `reply` with the id that this returns.
    ///
    /// # Errors
    /// In a fork, after the end, and where 10,000 are under way.
    pub fn ask_later(&self, id: u64, what: &str, arguments: &str) -> Result<u64, BridgeError> {
        self.here()?;
        let (inner, reply) = (Arc::clone(&self.inner), self.inner.calls.id());
        let place = Arc::clone(&inner.questions).try_acquire_owned();
        let place = place.map_err(|_| BridgeError::Questions(QUESTIONS))?;
        let (call, what, arguments) = (inner.calls.get(id), what.to_owned(), arguments.to_owned());
        self.runtime.spawn(async move {
            let _place = place;
            let answer = ask::answer(call, &what, &arguments).await;
            if let Ok(value) = serde_json::value::RawValue::from_string(answer) {
                inner.queue.urgent(Item::Reply { id: reply, value: &value }.text());
            }
        });
        Ok(reply)
    }

    /// Asks it to stop, as SIGTERM does: no more claims, and what runs may end within the grace
    /// period. Polling goes on until `stopped`.
    ///
    /// # Errors
    /// In a fork.
    pub fn shutdown(&self) -> Result<(), BridgeError> {
        self.here()?;
        self.inner.shutdown.cancel();
        Ok(())
    }

    /// Waits for its end; false: not yet.
    ///
    /// # Errors
    /// In a fork; and why it ended, if it was not asked to.
    pub fn wait(&self, wait: Duration) -> Result<bool, BridgeError> {
        self.here()?;
        let mut stage = self.inner.stage.subscribe();
        let ended =
            async { stage.wait_for(|stage| matches!(stage, Stage::Ended(_))).await.is_ok() };
        self.runtime.block_on(async { timeout(wait, ended).await.ok() });
        match &*self.inner.stage.borrow() {
            Stage::Ended(Some(error)) => Err(BridgeError::Start(error.clone())),
            Stage::Ended(None) => Ok(true),
            Stage::Starting | Stage::Running => Ok(false),
        }
    }

    /// Whether it can do its work, as /health tells it.
    ///
    /// # Errors
    /// In a fork.
    pub fn health(&self) -> Result<String, BridgeError> {
        self.here()?;
        Ok(crate::item::text(&self.inner.health.status()))
    }

    /// The metrics of this process, as Prometheus reads them; empty where the process counts them
    /// elsewhere.
    ///
    /// # Errors
    /// In a fork.
    pub fn metrics(&self) -> Result<String, BridgeError> {
        self.here()?;
        Ok(recorder().map(PrometheusHandle::render).unwrap_or_default())
    }

    /// The id under which the worker stands in the database; none before it has started, and of a
    /// consumer.
    ///
    /// # Errors
    /// In a fork.
    pub fn id(&self) -> Result<Option<Uuid>, BridgeError> {
        self.here()?;
        Ok(*self.inner.id.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let threads = self.threads.take();
        if self.here().is_ok() {
            self.inner.shutdown.cancel();
            threads.into_iter().for_each(Runtime::shutdown_background);
            // Their contexts hold the worker, which holds them.
            self.inner.calls.forget();
        } else {
            // They do not exist in a fork, where they would be waited for.
            std::mem::forget(threads);
        }
    }
}

fn read<'a, T: serde::Deserialize<'a>>(options: &'a str) -> Result<T, BridgeError> {
    serde_json::from_str(options).map_err(|error| BridgeError::Options(format!("options: {error}")))
}

impl Inner {
    /// Runs to the end, however that comes about, and tells the language.
    async fn run(&self, work: impl Future<Output = Result<(), String>>) {
        let started = async {
            let mut health = self.health.subscribe();
            let is_starting = |reason: &Option<String>| reason.as_deref() == Some("starting");
            if health.wait_for(|now| now.healthy || !is_starting(&now.reason)).await.is_ok() {
                self.stage.send_if_modified(|stage| {
                    let starts = *stage == Stage::Starting;
                    if starts {
                        *stage = Stage::Running;
                    }
                    starts
                });
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = AssertUnwindSafe(work).catch_unwind() => ended,
            () = started => return,
        };
        let error = match ended {
            Ok(ended) => ended.err(),
            Err(_) => Some("a bug in pgtasker: the worker panicked".to_owned()),
        };
        // The language may end the process now, or start another worker in it.
        timeout(FAREWELL, tokio::task::spawn_blocking(pgtasker_telemetry::flush)).await.ok();
        // Replies to questions come before the end, where they come at all.
        timeout(FAREWELL, self.questions.acquire_many(QUESTIONS as u32)).await.ok();
        self.questions.close();
        self.queue.stopped(Item::Stopped { error: error.as_deref() }.text());
        self.stage.send_replace(Stage::Ended(error));
    }

    async fn work(&self, options: Options) -> Result<(), String> {
        let say = |error: &dyn std::fmt::Display| error.to_string();
        let configure = |builder| self.configure(&options, builder);
        let (url, health) = (options.database_url.clone(), self.health.clone());
        watch(&health)?;
        let served = Served::connect(url, health, &self.shutdown, configure).await;
        let Some(served) = served.map_err(|error| say(&error))? else { return Ok(()) };
        for pattern in &options.subscriptions {
            let subscription = served.worker.subscribe(pattern).map_err(|error| say(&error))?;
            tokio::spawn(deliver(pattern.clone(), subscription, Arc::clone(&self.queue)));
        }
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = Some(served.worker.id());
        served.run(self.shutdown.clone()).await.map_err(|error| say(&error))
    }

    fn configure(&self, options: &Options, builder: WorkerBuilder) -> WorkerBuilder {
        let actor = |reads_pages| {
            Arc::new(FfiCompletionActor::new(&self.calls, &self.queue, reads_pages))
                as Arc<dyn Handler>
        };
        let (plain, paged) = (actor(false), actor(true));
        let mut builder = options.configure(builder);
        for name in &options.handlers {
            builder = builder.shared_handler(name, Arc::clone(&plain));
        }
        for name in &options.paged_handlers {
            builder = builder.shared_handler(name, Arc::clone(&paged));
        }
        for pattern in &options.publishers {
            let (pattern, calls, queue) =
                (pattern.clone(), Arc::clone(&self.calls), Arc::clone(&self.queue));
            builder =
                builder.publisher(pattern.clone(), ForeignPublisher { pattern, calls, queue });
        }
        if options.resolver {
            // The language is asked with the step, and may say no.
            builder = builder.resolver(move |_: &str| Some(Arc::clone(&plain)));
        }
        builder
    }

    async fn consume(&self, options: ConsumerOptions) -> Result<(), String> {
        let say = |error: &dyn std::fmt::Display| error.to_string();
        let url = match &options.database_url {
            Some(url) => url.clone(),
            None => ["TASKER_DATABASE_URL", "DATABASE_URL"]
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()))
                .ok_or("DATABASE_URL is not set: give the database of Tasker")?,
        };
        watch(&self.health)?;
        let mut to = DbOptions::new(url, "tasker-consumer");
        to.connect_timeout = PATIENCE;
        let Some(pool) = self.shutdown.run_until_cancelled(connect(&to)).await else {
            return Ok(());
        };
        let pool = pool.map_err(|error| say(&error))?;
        schema::check(&pool).await.map_err(|error| say(&error))?;
        let (calls, queue) = (Arc::clone(&self.calls), Arc::clone(&self.queue));
        let handle = move |event, slot| handle(event, slot, Arc::clone(&calls), Arc::clone(&queue));
        let builder = EventConsumer::builder(pool.clone())
            .breaker(Breaker::new(&pool, self.health.clone()))
            .slot_handler(handle);
        let consumer = options.configure(builder).build().map_err(|error| say(&error))?;
        let ran = consumer.run(self.shutdown.clone()).await;
        limited::close_pool(&pool, FAREWELL).await;
        ran.map_err(|error| say(&error))
    }
}

/// Hands an event to the language; the answer is an outcome, of which success and failure count.
/// Its place is free when the language has returned.
async fn handle(
    event: DomainEvent,
    slot: EventSlot,
    calls: Arc<Calls>,
    queue: Arc<Queue>,
) -> Result<(), StepError> {
    let item = |id| Item::DomainEvent { id, event: &event }.text();
    let question = Question::ask(&calls, &queue, slot, item);
    let answer = question.answer().await;
    let text = answer.ok_or_else(|| StepError::retryable("the consumer stops"))?;
    match Reply::read(&text) {
        Reply::Outcome(StepOutcome::Success { .. }) => Ok(()),
        Reply::Outcome(StepOutcome::Failure(failure)) => {
            let Failure { message, retryable, code, retry_after_ms } = failure;
            let error = if retryable {
                StepError::retryable(message)
            } else {
                StepError::permanent(message)
            };
            let error = match code {
                Some(code) => error.code(code),
                None => error,
            };
            Err(match retry_after_ms {
                Some(delay) => error.retry_after(Duration::from_millis(delay)),
                None => error,
            })
        }
        Reply::Invalid(why) => Err(Reply::invalid(&why)),
        _ => Err(Reply::invalid("an event's handler succeeds or fails")),
    }
}

/// Waits for the language, and loses what it is too slow for.
async fn deliver(pattern: String, mut events: EventSubscription, queue: Arc<Queue>) {
    while let Some(event) = events.next().await {
        queue.event(Item::Event { pattern: &pattern, event: &event }.text()).await;
    }
}
