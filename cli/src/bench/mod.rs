//! `tasker bench`: the measuring instrument. Starts an orchestrator and workers as processes of
//! their own, runs no-op tasks through them, and reports medians next to the floor that raw pgmq
//! sets on the same machine.
#![allow(
    clippy::disallowed_methods,
    reason = "what is measured must be sqlx itself, and ends with the program"
)]

mod against;
mod args;
mod batch;
mod batch_report;
mod common;
mod comparison;
mod cpu;
mod events;
mod floor;
mod language;
mod processes;
mod report;
mod run;
mod workflow;

pub use args::BenchArgs;
pub use common::BenchError;

use crate::output::Look;
use common::{COMING_UP, apply, progress, server_version};
use serde::Serialize;
use sqlx::PgPool;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Tasks of a fixed graph.
    Tasks(report::Report),
    /// Tasks with a batch.
    Batch(batch_report::Report),
    Against(comparison::Report),
}

impl Report {
    /// The report for people.
    pub fn render(&self, look: Look) -> String {
        match self {
            Self::Tasks(report) => report.render(look),
            Self::Batch(report) => report.render(look),
            Self::Against(report) => report.render(look),
        }
    }
}

/// Runs the benchmark against the database at `url`, and removes what it made there.
///
/// # Errors
/// The database cannot be reached or lacks the schema, a child process ends, tasks do not finish,
/// or `shutdown` came.
pub async fn run(
    args: &BenchArgs,
    url: &str,
    shutdown: &CancellationToken,
) -> Result<Report, BenchError> {
    let pool =
        pgtasker_core::db::connect(&pgtasker_core::db::DbOptions::new(url, "tasker bench")).await?;
    if !args.compares() {
        pgtasker_core::schema::check(&pool).await?;
    }
    // A namespace of its own each time, so that nothing left by an interrupted run is measured.
    let namespace = format!("bench_{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    // Dropped by ctrl-c, it kills its processes.
    let measured =
        shutdown.run_until_cancelled(prepare_and_measure(args, &pool, &namespace, url)).await;
    let measured = measured.unwrap_or_else(|| Err("interrupted".into()));
    let cleaned = match args.workflow {
        _ if args.compares() => against::clean(&pool, &namespace).await,
        workflow::Workflow::Batch => batch::clean(&pool, &namespace).await,
        _ if args.events => events::clean(&pool, &namespace).await,
        _ => Ok(()),
    };
    if let Err(error) = cleaned {
        // Why nothing was measured says more.
        if measured.is_ok() {
            return Err(error);
        }
        tracing::warn!(%error, "the benchmark's objects in {namespace} were not removed");
    }
    measured
}

async fn prepare_and_measure(
    args: &BenchArgs,
    pool: &PgPool,
    namespace: &str,
    url: &str,
) -> Result<Report, BenchError> {
    if args.compares() {
        return against::sides(args, pool, namespace, url).await.map(Report::Against);
    }
    if args.workflow == workflow::Workflow::Batch {
        batch::prepare(pool, namespace).await?;
        apply(pool, workflow::Workflow::Linear.definition(namespace)).await?;
        apply(pool, batch::definition(namespace)).await?;
    } else {
        apply(pool, args.workflow.definition(namespace)).await?;
        if args.events {
            apply(pool, events::definition(args.workflow, namespace)).await?;
        }
    }
    start_and_measure(args, pool, namespace, url).await
}

async fn start_and_measure(
    args: &BenchArgs,
    pool: &PgPool,
    namespace: &str,
    url: &str,
) -> Result<Report, BenchError> {
    let mut processes =
        processes::Processes::start(&std::env::current_exe()?, url, namespace, args, None)?;
    let report = match args.workflow {
        workflow::Workflow::Batch => {
            batch::measure(args, pool, namespace, &mut processes).await.map(Report::Batch)
        }
        _ => measure(args, pool, namespace, &mut processes).await.map(Report::Tasks),
    };
    // Where a process has died, that is why nothing was measured.
    let stopped = processes.stop().await;
    let report = report?;
    stopped?;
    Ok(report)
}

async fn measure(
    args: &BenchArgs,
    pool: &PgPool,
    namespace: &str,
    processes: &mut processes::Processes,
) -> Result<report::Report, BenchError> {
    processes.wait_until_ready(pool, namespace, COMING_UP).await?;
    let (workflow, tasks) = (args.workflow, args.task_count());
    let mut benches =
        vec![run::Bench { pool, namespace, workflow, template: workflow.name().to_owned(), tasks }];
    if args.events {
        benches.push(run::Bench {
            pool,
            namespace,
            workflow,
            template: events::template(workflow),
            tasks,
        });
    }
    let bar = progress(u64::from(args.run_count()) * benches.len() as u64);
    // Once unmeasured: plans are cached, pages are there, pools are full.
    for bench in &benches {
        bench.warm_up(processes).await?;
    }
    let mut runs = vec![Vec::new(); benches.len()];
    for number in 0..usize::from(args.run_count()) {
        for turn in 0..benches.len() {
            // By turns the one and the other begins: neither is always first on a database that
            // grows.
            let which = (number + turn) % benches.len();
            let floor = floor::messages_per_second(pool).await?;
            let figures = match args.latency {
                true => benches[which].one_at_a_time(processes).await?,
                false => benches[which].all_at_once(processes).await?,
            };
            bar.inc(1);
            runs[which].push((figures, floor));
        }
    }
    bar.finish_and_clear();
    let server = server_version(pool).await?;
    Ok(report::Report::new(args, tasks, server, &runs, processes.peak_rss()?))
}
