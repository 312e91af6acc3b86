//! `tasker bench`: the measuring instrument. Starts an orchestrator and workers as processes of
//! their own, runs no-op tasks through them, and reports medians next to the floor that raw pgmq
//! sets on the same machine.
#![allow(
    clippy::disallowed_methods,
    reason = "what is measured must be sqlx itself, and ends with the program"
)]

mod against;
mod batch;
mod batch_report;
mod comparison;
mod cpu;
mod events;
mod floor;
mod processes;
mod report;
mod run;
mod workflow;

use crate::{error::Error, output::Look};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sqlx::PgPool;
use std::{
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio_util::sync::CancellationToken;

/// Any error of a benchmark; the text is for people.
pub type BenchError = Box<dyn std::error::Error + Send + Sync>;

/// How long the processes may take to come up.
const COMING_UP: Duration = Duration::from_secs(20);

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The graph each task runs.
    #[arg(long, value_enum, default_value_t = workflow::Workflow::Linear)]
    pub workflow: workflow::Workflow,
    /// Tasks per run [default: 2500, with --latency 200].
    #[arg(long)]
    pub tasks: Option<u32>,
    /// One task at a time on an idle system, instead of all at once.
    #[arg(long)]
    pub latency: bool,
    /// Each step publishes one durable event; the same runs also measure steps without events.
    #[arg(long)]
    pub events: bool,
    /// Worker processes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Steps a worker runs at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub concurrency: u32,
    /// Another build of tasker to compare with: both are measured in turn, each on its own
    /// database.
    #[arg(long, value_name = "BINARY")]
    pub against: Option<PathBuf>,
    /// Number of runs; each figure is their median [default: 5, with --workflow batch 3, with
    /// --against 10].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: Option<u16>,
    /// With --workflow batch: a task with each of these numbers of instances [default:
    /// 1000,10000,50000].
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    pub instances: Vec<u32>,
}

impl BenchArgs {
    /// Whether the options go together.
    ///
    /// # Errors
    /// They do not; what to do is in the error.
    pub fn check(&self) -> Result<(), Error> {
        let is_batch = self.workflow == workflow::Workflow::Batch;
        if !is_batch && !self.instances.is_empty() {
            let error = Error::new(format!(
                "a task of --workflow {} has no instances",
                self.workflow.name()
            ));
            return Err(error.or_hint("add --workflow batch, or leave --instances out"));
        }
        if is_batch && self.latency {
            return Err(Error::new("a batch is measured by its throughput")
                .or_hint("leave --latency out, or choose another --workflow"));
        }
        if is_batch && self.events {
            return Err(Error::new("what events cost is measured with a fixed graph")
                .or_hint("leave --events out, or choose another --workflow"));
        }
        Ok(())
    }

    fn run_count(&self) -> u16 {
        self.runs.unwrap_or(match (&self.against, self.workflow) {
            (Some(_), _) => 10,
            (None, workflow::Workflow::Batch) => 3,
            (None, _) => 5,
        })
    }

    /// The numbers of instances of a batch.
    fn sizes(&self) -> Vec<u32> {
        if self.instances.is_empty() { batch::INSTANCES.to_vec() } else { self.instances.clone() }
    }

    fn task_count(&self) -> u32 {
        self.tasks.unwrap_or(if self.latency { 200 } else { 2_500 }).max(1)
    }
}

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
    if args.against.is_none() {
        pgtasker_core::schema::check(&pool).await?;
    }
    // A namespace of its own each time, so that nothing left by an interrupted run is measured.
    let namespace = format!("bench_{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    // Dropped by ctrl-c, it kills its processes.
    let measured =
        shutdown.run_until_cancelled(prepare_and_measure(args, &pool, &namespace, url)).await;
    let measured = measured.unwrap_or_else(|| Err("interrupted".into()));
    let cleaned = match args.workflow {
        _ if args.against.is_some() => against::clean(&pool, &namespace).await,
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
    if let Some(other) = &args.against {
        return against::builds(args, other, pool, namespace, url).await.map(Report::Against);
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

async fn apply(pool: &PgPool, template: serde_json::Value) -> Result<(), BenchError> {
    sqlx::query("select created from tasker.apply_template($1)")
        .bind(template)
        .execute(pool)
        .await?;
    Ok(())
}

async fn start_and_measure(
    args: &BenchArgs,
    pool: &PgPool,
    namespace: &str,
    url: &str,
) -> Result<Report, BenchError> {
    let mut processes = processes::Processes::start(
        &std::env::current_exe()?,
        url,
        namespace,
        args.workers,
        args.concurrency,
    )?;
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

async fn server_version(pool: &PgPool) -> Result<String, BenchError> {
    Ok(sqlx::query_scalar("select current_setting('server_version')").fetch_one(pool).await?)
}

fn progress(runs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} run {pos}/{len} {wide_bar} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(runs).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
