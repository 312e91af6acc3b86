//! `tasker bench`: a database for the measuring instrument, and its orderly end.

use crate::{
    bench::{self, BenchArgs},
    database::Database,
    error::{Error, Result},
    globals::Globals,
    output::{self, Look},
};
use std::{process::ExitCode, time::Duration};
use tokio_util::sync::CancellationToken;

/// Counts the statements that processes send.
const COUNTER: &str = "pg_stat_statements";

/// Measures on the database given, else on a PostgreSQL of its own.
pub async fn run(args: BenchArgs, globals: &Globals) -> Result<ExitCode> {
    args.check()?;
    let shutdown = pgtasker_core::signals::shutdown()?;
    let (url, server) =
        Database::resolve_or_start_with(globals, &[("shared_preload_libraries", COUNTER)]).await?;
    let result = measure(&args, &url, globals, &shutdown).await;
    let stopped = match server {
        Some(server) => server.stop().await,
        None => Ok(()),
    };
    result?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    args: &BenchArgs,
    url: &str,
    globals: &Globals,
    shutdown: &CancellationToken,
) -> Result<()> {
    // With --against or --language, nothing is measured or made in this database.
    if !args.compares() {
        let prepared = shutdown.run_until_cancelled(prepare(url)).await;
        prepared.unwrap_or_else(|| Err(Error::new("interrupted")))?;
    }
    let report = bench::run(args, url, shutdown).await.map_err(Error::boxed)?;
    match globals.json {
        true => output::print_json(&report),
        false => output::print(&report.render(Look::stdout())),
    }
}

/// Makes the engine's schema where it is missing.
async fn prepare(url: &str) -> Result<()> {
    let pool = Database::at(url).connect("tasker migrate", 2, Duration::from_secs(10)).await?;
    pgtasker_queues::migrate(&pool).await?;
    // Without it one figure is missing: no reason to measure nothing.
    if let Err(error) =
        sqlx::raw_sql("create extension if not exists pg_stat_statements").execute(&pool).await
    {
        tracing::info!(%error, "{COUNTER} is not there");
    }
    crate::database::close(&pool).await;
    Ok(())
}
