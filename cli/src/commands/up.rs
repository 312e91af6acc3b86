//! `tasker up`: everything in one process, until ctrl-c.

use super::{
    api_args::{self, ApiArgs},
    orchestrator,
    service::{ServiceArgs, Started},
    worker::{self, LimitArgs},
};
use crate::{
    config::mask,
    database::{Database, FOLDER, Source, close},
    error::{Error, Result},
    globals::Globals,
    logging, output, own_key,
};
use clap::Args;
use pgtasker_api::Server;
use pgtasker_client::calls;
use pgtasker_core::{bounds::BATCH_SIZE, breaker::Breaker, pooler::InTransaction};
use pgtasker_embedded::Embedded;
use pgtasker_queues::MigrationReport;
use serde_json::json;
use sqlx::PgPool;
use std::{collections::BTreeSet, path::Path, process::ExitCode, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How soon a namespace that comes with a new template is served.
const LOOK: Duration = Duration::from_secs(1);

/// Options of `tasker up`.
#[derive(Debug, Args)]
#[command(
    after_help = "PostgreSQL is started in .tasker of the current folder, unless a database is \
        given."
)]
pub struct UpArgs {
    /// Run no worker; your own workers run the steps.
    #[arg(long)]
    no_worker: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    api: ApiArgs,
}

/// Runs until SIGTERM or ctrl-c.
pub async fn run(args: UpArgs, globals: &Globals) -> Result<ExitCode> {
    let process = args.service.start(logging::QUIET, "tasker", !args.api.is_off())?;
    let Some(started) = process.shutdown.run_until_cancelled(start(globals)).await else {
        output::note("stopped before it had started");
        return Ok(ExitCode::SUCCESS);
    };
    let (database, mut server) = started?;
    let result = serve(&args, globals, &database, server.as_mut(), process).await;
    let stopped = match server {
        Some(server) => server.stop().await,
        None => Ok(()),
    };
    result?;
    stopped?;
    if !globals.json {
        output::note("stopped");
    }
    Ok(ExitCode::SUCCESS)
}

/// The database given, or a PostgreSQL of our own.
async fn start(globals: &Globals) -> Result<(Database, Option<Embedded>)> {
    let (url, server) = Database::resolve_or_start(globals).await?;
    match Database::named(globals) {
        Some(database) => Ok((database, None)),
        None if server.is_none() => {
            Err(Error::new(format!("another tasker runs a PostgreSQL in {FOLDER} already"))
                .or_hint(
                    "use it (tasker task list), add to it (tasker worker, tasker orchestrator), or \
                 stop it first",
                ))
        }
        None => Ok((Database { url, source: Source::Recorded }, server)),
    }
}

/// Migrates, then runs the orchestrator and the workers until one ends or the shutdown.
async fn serve(
    args: &UpArgs,
    globals: &Globals,
    database: &Database,
    server: Option<&mut Embedded>,
    process: Started,
) -> Result<()> {
    let Started { shutdown, health, metrics } = process;
    let pool = orchestrator::connect(database, args.service.poll_only).await?;
    let report = pgtasker_queues::migrate(&pool).await?;
    report.schema.warning().iter().for_each(|warning| output::note(warning));
    // A child, so that the end of one part can stop the others.
    let stop = shutdown.child_token();
    let breaker = Breaker::new(&pool, health);
    let keys = if args.api.wants_own_key() { Some(own_key::keys_file()?) } else { None };
    let poll_only = args.service.poll_only;
    let api = args.api.bind(&pool, &breaker, metrics, poll_only, &stop, keys.as_deref()).await?;
    let url = api.as_ref().map(Server::url);
    if let (Some(url), true) = (&url, keys.is_some()) {
        own_key::is_at(url)?;
    }
    let key = keys.map(|_| own_key::place());
    greet(
        globals,
        database,
        server.as_deref(),
        &report,
        args.no_worker,
        (url.as_deref(), key.as_deref()),
    )?;
    let mut parts = JoinSet::new();
    if api.is_some() {
        parts.spawn(api_args::serve(api));
    }
    let orchestrator =
        orchestrator::build(&pool, breaker.clone(), &args.service, BATCH_SIZE.default)?;
    let token = stop.clone();
    parts.spawn(async move { orchestrator.run(token).await.map_err(Error::from) });
    if !args.no_worker {
        let pool = worker::connect(database, &args.limits, args.service.poll_only).await?;
        let service = args.service.clone();
        parts.spawn(work(pool, breaker, args.limits.clone(), service, globals.json, stop.clone()));
    }
    let mut result = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => flat(ended),
        // Without it no part can end in an orderly way.
        Err(gone) = server_ended(server) => return Err(gone),
    };
    if !globals.json && result.is_ok() {
        output::note("stopping");
    }
    stop.cancel();
    while let Some(ended) = parts.join_next().await {
        result = result.and(flat(ended));
    }
    result
}

fn flat(ended: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.map_err(Error::from).flatten()
}

/// Ends when the PostgreSQL we started ends, which is always a failure. Without one, it never ends.
async fn server_ended(server: Option<&mut Embedded>) -> Result<()> {
    let Some(server) = server else { return std::future::pending().await };
    let log = server.log_path();
    server.ended().await?;
    Err(Error::new("PostgreSQL has ended").or_hint(format!("its log is {}", log.display())))
}

/// Serves all namespaces: a worker for those that are there, another one for those that come later.
/// One worker restarted with a longer list would have to break off long steps.
async fn work(
    pool: PgPool,
    breaker: Breaker,
    limits: LimitArgs,
    service: ServiceArgs,
    quiet: bool,
    stop: CancellationToken,
) -> Result<()> {
    let mut served: BTreeSet<String> = BTreeSet::new();
    let mut workers = JoinSet::new();
    while !stop.is_cancelled() {
        let there = match stop.run_until_cancelled(look(&pool, &breaker)).await {
            Some(Ok(there)) => there,
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot look for new namespaces");
                Vec::new()
            }
            None => break,
        };
        let new: Vec<String> = there.into_iter().filter(|name| !served.contains(name)).collect();
        if !new.is_empty() {
            let worker = worker::build(&pool, breaker.clone(), &new, &limits, &service)?;
            let token = stop.clone();
            served.extend(new.iter().cloned());
            if !quiet {
                output::note(&format!("worker serves {}", new.join(", ")));
            }
            workers.spawn(async move { (worker.run(token).await, new) });
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
            // A worker ends early only when its start fails: tried again at the next look.
            Some(Ok((result, namespaces))) = workers.join_next() => {
                if let Err(error) = result {
                    tracing::error!(%error, ?namespaces, "a worker did not start; trying again");
                }
                served.retain(|name| !namespaces.contains(name));
                tokio::time::sleep(LOOK).await;
            }
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended?.0?;
    }
    close(&pool).await;
    Ok(())
}

/// The namespaces there are; after an outage a first connection may be dead.
async fn look(pool: &PgPool, breaker: &Breaker) -> pgtasker_core::Result<Vec<String>> {
    breaker.closed().await;
    match calls::list_namespaces(InTransaction(pool)).await {
        Err(error) if error.is_outage() => Ok(Vec::new()),
        there => there,
    }
}

/// Says what runs, and what to do next.
fn greet(
    globals: &Globals,
    database: &Database,
    server: Option<&Embedded>,
    report: &MigrationReport,
    no_worker: bool,
    (api, key): (Option<&str>, Option<&Path>),
) -> Result<()> {
    let psql = server.map(psql_line);
    if globals.json {
        return output::print_json(&json!({
            // Our own server's password is for psql; another's is not ours to show.
            "url": if server.is_some() { database.url.clone() } else { mask::url(&database.url) },
            "psql": psql,
            "schema": report.schema.version,
            "worker": !no_worker,
            "api": api,
            "api_key_file": key.filter(|_| api.is_some()),
        }));
    }
    let place = match server {
        Some(server) => {
            format!("PostgreSQL {} runs in {FOLDER}, port {}", server.version(), server.port())
        }
        None => format!("using the database of {}", database.source),
    };
    let parts = if no_worker { "an orchestrator runs" } else { "an orchestrator and a worker run" };
    let change = if report.schema.up_to_date() { "up to date" } else { "installed" };
    let mut text =
        format!("{place}\nschema tasker is {change}: {}\n{parts}\n", report.schema.version);
    if let Some(api) = api {
        text.push_str(&format!("the HTTP API is {api}, described at {api}/docs\n"));
        if let Some(key) = key {
            text.push_str(&format!(
                "its key is in {}; commands in this folder use it\n",
                key.display()
            ));
        }
    }
    text.push('\n');
    if let Some(psql) = psql {
        text.push_str(&format!("  {psql}\n\n"));
    }
    text.push_str(
        "next, from another terminal in this folder:\n\
         \x20 tasker template apply FILE.yaml\n\
         \x20 tasker task enqueue NAMESPACE.NAME --context '{}' --wait\n\
         \x20 tasker task list\n\n\
         ctrl-c stops everything\n",
    );
    output::print(&text)
}

/// The command that opens the server in psql; with our own psql if PATH has none.
pub fn psql_line(server: &Embedded) -> String {
    let in_path = |folder: &Path| folder.join("psql").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = server.bin_dir().join("psql");
    let psql = match std::env::split_paths(&path).any(|folder| in_path(&folder)) || !own.is_file() {
        true => "psql".to_owned(),
        false => own.display().to_string(),
    };
    format!("{psql} '{}'", server.admin_url())
}
