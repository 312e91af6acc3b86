//! `tasker worker`: a process of its own with the built-in handlers; `tasker worker list`: those
//! that run.

use super::service::{PATIENCE, ServiceArgs, Started};
use crate::{
    database::{Database, close},
    error::Result,
    globals::Globals,
    labels,
    logging::{self, LogFormat},
    output::{self, Look},
    table::Table,
    units,
};
use chrono::Utc;
use clap::{Args, Subcommand};
use pgtasker_client::WorkerOverview;
use pgtasker_core::{
    bounds::{CONCURRENCY, CONNECTIONS, GRACE, LEASE},
    breaker::Breaker,
    db::DbOptions,
    session::Session,
};
use pgtasker_worker::{BuildError, Worker};
use serde_json::json;
use sqlx::PgPool;
use std::{process::ExitCode, time::Duration};

/// Options of `tasker worker`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct WorkerArgs {
    #[command(subcommand)]
    pub command: Option<WorkerCommand>,
    /// The namespaces to serve, separated by commas.
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMESPACE,…")]
    pub namespace: Vec<String>,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// The commands of `tasker worker`.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Every worker that has not signed off.
    List,
}

/// The limits of a worker.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Steps that run at once.
    #[arg(
        long,
        value_name = "N",
        default_value_t = CONCURRENCY.default,
        value_parser = clap::value_parser!(u32).range(CONCURRENCY.range()),
    )]
    pub concurrency: u32,
    /// Database connections; all but three of them are for `sql` handlers.
    #[arg(
        long,
        value_name = "N",
        default_value_t = CONNECTIONS.default,
        value_parser = clap::value_parser!(u32).range(CONNECTIONS.range()),
    )]
    pub connections: u32,
    /// How long a claimed step is held before another worker may take it, from 1s to 1d; extended
    /// while it runs. A number without a unit is seconds.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = LEASE.default_text(),
        value_parser = |text: &str| LEASE.parse(text),
    )]
    pub lease: Duration,
    /// How long running steps may take to finish when the worker is stopped.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = GRACE.default_text(),
        value_parser = |text: &str| GRACE.parse(text),
    )]
    pub grace: Duration,
}

/// Runs until SIGTERM or ctrl-c; or lists.
pub async fn run(args: WorkerArgs, globals: &Globals) -> Result<ExitCode> {
    if let Some(WorkerCommand::List) = args.command {
        return list(globals).await;
    }
    let Started { shutdown, health, .. } =
        args.service.start(logging::FULL, "tasker-worker", false)?;
    let database = Database::resolve(globals)?;
    let connect = connect(&database, &args.limits, args.service.poll_only);
    let Some(pool) = shutdown.run_until_cancelled(connect).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let pool = pool?;
    let mut starting = pgtasker_core::db::Starting::new();
    while let Err(error) = pgtasker_core::schema::check(&pool).await {
        starting.again(error).await?;
    }
    crate::database::warn_of_rights(&pool).await;
    let worker =
        build(&pool, Breaker::new(&pool, health), &args.namespace, &args.limits, &args.service)?;
    if globals.json {
        output::print_json(&json!({
            "worker_id": worker.id(),
            "namespaces": worker.namespaces(),
            "handlers": worker.handlers(),
        }))?;
    }
    worker.run(shutdown).await?;
    close(&pool).await;
    Ok(ExitCode::SUCCESS)
}

async fn list(globals: &Globals) -> Result<ExitCode> {
    logging::start(LogFormat::Human, logging::QUIET, None)?;
    let workers = globals.client().await?.list_workers().await?;
    if globals.json {
        output::print_json(&workers)?;
    } else if workers.is_empty() {
        output::note("no workers: tasker worker --namespace NAMESPACE,…");
    } else {
        output::print(&table(&workers, Look::stdout()).render())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One line for each.
pub fn table(workers: &[WorkerOverview], look: Look) -> Table {
    let head = ["WORKER", "SEEN", "BUSY", "NAMESPACES", "HOST", "PID", "STARTED", "VERSION"];
    let mut table = Table::new(look, &head).wrap_from(8).keep(4);
    let now = Utc::now();
    for worker in workers {
        let busy = match (worker.in_flight, worker.concurrency) {
            (Some(busy), Some(most)) => format!("{busy}/{most}"),
            _ => String::new(),
        };
        let row = [
            worker.worker_id.to_string(),
            labels::seen(worker.alive, &units::relative(worker.last_seen, now), look),
            busy,
            worker.namespaces.join(","),
            worker.host.clone().unwrap_or_default(),
            worker.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            units::relative(worker.started_at, now),
            worker.version.clone().unwrap_or_default(),
        ];
        if worker.alive { table.row(row) } else { table.dim_row(row) }
    }
    table
}

/// The pool of a worker.
pub async fn connect(database: &Database, limits: &LimitArgs, poll_only: bool) -> Result<PgPool> {
    let options = DbOptions::new(&database.url, "tasker-worker")
        .max_connections(limits.connections)
        .session(Session::default().lease(limits.lease))
        .pooled(poll_only);
    database.connect_with(options, PATIENCE).await
}

/// A worker with the built-in handlers and these settings.
pub fn build(
    pool: &PgPool,
    breaker: Breaker,
    namespaces: &[String],
    limits: &LimitArgs,
    service: &ServiceArgs,
) -> Result<Worker, BuildError> {
    Worker::builder(pool.clone())
        .breaker(breaker)
        .namespaces(namespaces)
        .concurrency(usize::try_from(limits.concurrency).unwrap_or(usize::MAX))
        .lease(limits.lease)
        .grace(limits.grace)
        .poll_only(service.poll_only)
        .poll_interval(service.poll_interval)
        .build()
}
