//! `tasker orchestrator`: a process of its own.

use super::{
    api_args::{self, ApiArgs},
    service::{PATIENCE, ServiceArgs, Started},
};
use crate::{
    database::{Database, close},
    error::Result,
    globals::Globals,
    logging, output,
};
use clap::Args;
use pgtasker_api::Server;
use pgtasker_core::{
    bounds::{BATCH_SIZE, OutOfBounds},
    breaker::Breaker,
    db::DbOptions,
};
use pgtasker_orchestrator::{CONNECTIONS, Orchestrator};
use serde_json::json;
use sqlx::PgPool;
use std::process::ExitCode;

/// Options of `tasker orchestrator`.
#[derive(Debug, Args)]
pub struct OrchestratorArgs {
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// The most messages or steps in one transaction.
    #[arg(
        long,
        value_name = "N",
        default_value_t = BATCH_SIZE.default,
        value_parser = clap::value_parser!(u32).range(BATCH_SIZE.range()),
    )]
    batch_size: u32,
}

/// Runs until SIGTERM or ctrl-c.
pub async fn run(args: OrchestratorArgs, globals: &Globals) -> Result<ExitCode> {
    let Started { shutdown, health, metrics } =
        args.service.start(logging::FULL, "tasker-orchestrator", !args.api.is_off())?;
    let database = Database::resolve(globals)?;
    let connect = connect(&database, args.service.poll_only);
    let Some(pool) = shutdown.run_until_cancelled(connect).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let pool = pool?;
    let mut starting = pgtasker_core::db::Starting::new();
    while let Err(error) = pgtasker_core::schema::check(&pool).await {
        starting.again(error).await?;
    }
    crate::database::warn_of_rights(&pool).await;
    let breaker = Breaker::new(&pool, health);
    // A child, so that the end of the orchestrator ends the API too.
    let stop = shutdown.child_token();
    let api = args.api.bind(&pool, &breaker, metrics, args.service.poll_only, &stop, None).await?;
    if api.is_some() {
        crate::database::warn_of_missing_rights(&pool).await;
    }
    let orchestrator = build(&pool, breaker, &args.service, args.batch_size)?;
    if globals.json {
        let url = api.as_ref().map(Server::url);
        output::print_json(&json!({"orchestrator_id": orchestrator.id(), "api": url}))?;
    }
    let api = tokio::spawn(api_args::serve(api));
    let ended = orchestrator.run(shutdown).await;
    stop.cancel();
    let served = api.await?;
    close(&pool).await;
    ended?;
    served?;
    Ok(ExitCode::SUCCESS)
}

/// The pool of an orchestrator.
pub async fn connect(database: &Database, poll_only: bool) -> Result<PgPool> {
    let options = DbOptions::new(&database.url, "tasker-orchestrator")
        .max_connections(CONNECTIONS)
        .pooled(poll_only);
    database.connect_with(options, PATIENCE).await
}

/// An orchestrator with these settings.
pub fn build(
    pool: &PgPool,
    breaker: Breaker,
    service: &ServiceArgs,
    batch_size: u32,
) -> Result<Orchestrator, OutOfBounds> {
    Orchestrator::builder(pool.clone())
        .breaker(breaker)
        .poll_only(service.poll_only)
        .poll_interval(service.poll_interval)
        .batch_size(batch_size)
        .build()
}
