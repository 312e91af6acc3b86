//! A worker as a process of its own: signals, log, metrics, health, and configuration in one call.

use crate::{BuildError, Worker, WorkerBuilder};
use pgtasker_core::{
    bounds::{CONCURRENCY, CONNECTIONS},
    breaker::Breaker,
    db::{self, DbOptions},
    duration,
    health::Health,
    limited, schema, signals,
};
use pgtasker_telemetry::{
    endpoint::{self, PrometheusHandle},
    log::{self, LogFormat},
};
use sqlx::PgPool;
use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long a worker that starts before its database waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long open connections may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why [`serve`] ended before it was asked to. Its debug form is its text, so that `main` may
/// return it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// DATABASE_URL is not set.
    #[error(
        "DATABASE_URL is not set: give the database of Tasker, \
         postgres://user:password@host:port/database"
    )]
    NoDatabase,
    /// A variable whose value cannot be used.
    #[error("{name}: {reason}")]
    Variable {
        /// Which.
        name: &'static str,
        /// Why not, and what it may be.
        reason: String,
    },
    /// The worker cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The database cannot be reached or used.
    #[error(transparent)]
    Database(#[from] pgtasker_core::Error),
    /// The log cannot be started.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// The signals cannot be listened to, or the address of the metrics cannot be used.
    #[error(transparent)]
    Process(#[from] std::io::Error),
    /// The process counts its metrics already.
    #[error("the metrics cannot be counted: {0}")]
    Metrics(String),
}

impl fmt::Debug for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Runs a worker until SIGTERM or ctrl-c: the whole of a worker's `main`.
///
/// `configure` adds namespaces and handlers. The rest comes from the variables of `tasker worker`,
/// which have precedence over what `configure` sets: `DATABASE_URL`, `TASKER_WORKER_NAMESPACE`
/// (separated by commas), `TASKER_WORKER_CONCURRENCY` (64), `TASKER_WORKER_CONNECTIONS` (10),
/// `TASKER_WORKER_LEASE` (`30s`), `TASKER_WORKER_GRACE` (`10s`), `TASKER_WORKER_METRICS`
/// (`ADDRESS:PORT` of /metrics and /health), `TASKER_DATABASE_POLL_ONLY`,
/// `TASKER_DATABASE_POLL_INTERVAL` (`1s`), `TASKER_LOG_FORMAT` (`human`, `json`), `RUST_LOG`, and
/// the OTEL_ ones. A first signal lets running steps end within the grace period and gives the rest
/// back; a second one ends the process at once. Call it once, within a multi-threaded runtime.
///
/// ```no_run
/// # use pgtasker_worker::{StepContext, StepError, StepOutcome, ServeError};
/// # async fn charge_card(_: StepContext) -> Result<StepOutcome, StepError> {
/// #     Ok(StepOutcome::success(()))
/// # }
/// #[tokio::main]
/// async fn main() -> Result<(), ServeError> {
///     pgtasker_worker::serve(|worker| {
///         worker.namespace("shop").handler("charge_card", charge_card)
///     })
///     .await
/// }
/// ```
///
/// # Errors
/// A variable, a handler, or the database that cannot be used: what is wrong and what it may be.
pub async fn serve(
    configure: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
) -> Result<(), ServeError> {
    let format = variable("TASKER_LOG_FORMAT")?.unwrap_or(LogFormat::Human);
    log::start_log(format, log::FULL, Some("tasker-worker"))?;
    let served = run(configure).await;
    if let Err(error) = &served {
        tracing::error!(%error, "the worker ended");
    }
    pgtasker_telemetry::shutdown();
    served
}

async fn run(configure: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Result<(), ServeError> {
    let shutdown = signals::shutdown()?;
    let health = Health::new();
    if let Some(address) = variable::<SocketAddr>("TASKER_WORKER_METRICS")? {
        let counted =
            endpoint::count(&[]).map_err(|error| ServeError::Metrics(error.to_string()))?;
        endpoint::serve(address, counted, health.clone())?;
    }
    match Served::connect(None, health, &shutdown, configure).await? {
        Some(served) => served.run(shutdown).await,
        None => Ok(()),
    }
}

/// A worker as [`serve`] runs it, for a program with signals, log, and metrics of its own: what
/// the run commands of other languages use.
pub struct Served {
    /// The worker, to subscribe to events of.
    pub worker: Worker,
    pool: PgPool,
}

impl Served {
    /// Connects to the database, for up to 30 s, and builds the worker: as [`serve`] does, with
    /// what `configure` says and the variables on top. `url` has precedence over DATABASE_URL.
    /// None: `shutdown` came first.
    ///
    /// # Errors
    /// As those of [`serve`].
    pub async fn connect(
        url: Option<String>,
        health: Health,
        shutdown: &CancellationToken,
        configure: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Result<Option<Self>, ServeError> {
        let url = match url {
            Some(url) => url,
            None => match variable("TASKER_DATABASE_URL")? {
                Some(url) => url,
                None => variable("DATABASE_URL")?.ok_or(ServeError::NoDatabase)?,
            },
        };
        let mut options = DbOptions::new(url, "tasker-worker");
        options.max_connections =
            ranged("TASKER_WORKER_CONNECTIONS", CONNECTIONS.least..=CONNECTIONS.most)?
                .unwrap_or(options.max_connections);
        options.connect_timeout = PATIENCE;
        tracing::info!("connecting to the database");
        let Some(pool) = shutdown.run_until_cancelled(db::connect(&options)).await else {
            return Ok(None);
        };
        let pool = pool?;
        schema::check(&pool).await?;
        let builder = Worker::builder(pool.clone()).breaker(Breaker::new(&pool, health));
        let worker = configured(configure(builder))?.build()?;
        tracing::info!(
            worker_id = %worker.id(), namespaces = ?worker.namespaces(),
            handlers = ?worker.handlers(), "the worker starts"
        );
        Ok(Some(Self { worker, pool }))
    }

    /// Serves /metrics and /health where TASKER_WORKER_METRICS says so.
    ///
    /// # Errors
    /// The variable or its address cannot be used.
    pub fn watch(counted: &PrometheusHandle, health: Health) -> Result<(), ServeError> {
        if let Some(address) = variable::<SocketAddr>("TASKER_WORKER_METRICS")? {
            endpoint::serve(address, counted.clone(), health)?;
        }
        Ok(())
    }

    /// Runs the worker until `shutdown`, see [`Worker::run`], and closes its connections.
    ///
    /// # Errors
    /// As those of [`Worker::run`].
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let ran = self.worker.run(shutdown).await;
        if !limited::close_pool(&self.pool, FAREWELL).await {
            tracing::warn!("connections to the database do not close: left behind");
        }
        tracing::info!("the worker has stopped");
        Ok(ran?)
    }
}

/// What the variables say goes over what the program says.
fn configured(mut builder: WorkerBuilder) -> Result<WorkerBuilder, ServeError> {
    if let Some(names) = variable::<String>("TASKER_WORKER_NAMESPACE")? {
        builder = builder
            .only_namespaces(names.split(',').map(str::trim).filter(|name| !name.is_empty()));
    }
    if let Some(concurrency) =
        ranged("TASKER_WORKER_CONCURRENCY", CONCURRENCY.least..=CONCURRENCY.most)?
    {
        builder = builder.concurrency(concurrency as usize);
    }
    if let Some(Length(lease)) = variable("TASKER_WORKER_LEASE")? {
        builder = builder.lease(lease);
    }
    if let Some(Length(grace)) = variable("TASKER_WORKER_GRACE")? {
        builder = builder.grace(grace);
    }
    if let Some(Switch(poll_only)) = variable("TASKER_DATABASE_POLL_ONLY")? {
        builder = builder.poll_only(poll_only);
    }
    if let Some(Length(interval)) = variable("TASKER_DATABASE_POLL_INTERVAL")? {
        builder = builder.poll_interval(interval);
    }
    Ok(builder)
}

struct Length(Duration);

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration::parse(text).map(Self)
    }
}

struct Switch(bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" | "yes" | "on" | "1" => Ok(Self(true)),
            "false" | "no" | "off" | "0" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
}

/// Empty counts as not set.
fn variable<T: FromStr<Err: fmt::Display>>(name: &'static str) -> Result<Option<T>, ServeError> {
    let text = match std::env::var(name) {
        Ok(text) if !text.is_empty() => text,
        Ok(_) | Err(std::env::VarError::NotPresent) => return Ok(None),
        Err(error) => return Err(ServeError::Variable { name, reason: error.to_string() }),
    };
    text.parse()
        .map(Some)
        .map_err(|error: T::Err| ServeError::Variable { name, reason: error.to_string() })
}

fn ranged<T>(
    name: &'static str,
    range: std::ops::RangeInclusive<T>,
) -> Result<Option<T>, ServeError>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    let Some(text) = variable::<String>(name)? else { return Ok(None) };
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let reason =
                format!("{text:?} is not a whole number from {} to {}", range.start(), range.end());
            Err(ServeError::Variable { name, reason })
        }
    }
}
