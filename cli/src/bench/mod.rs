//! `tasker bench`: the measuring instrument. Starts an orchestrator and workers as processes of their own,
//! runs no-op tasks through them, and reports medians next to the floor that raw pgmq sets on the same machine.

mod floor;
mod processes;
mod report;
mod run;
mod workflow;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
pub use report::Report;
use sqlx::PgPool;
use std::{
    io::IsTerminal,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Any error of a benchmark; the text is for people.
pub type BenchError = Box<dyn std::error::Error + Send + Sync>;

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The graph each task runs.
    #[arg(long, value_enum, default_value_t = workflow::Workflow::Linear)]
    pub workflow: workflow::Workflow,
    /// Tasks a run [default: 2500, with --latency 200].
    #[arg(long)]
    pub tasks: Option<u32>,
    /// One task at a time on an idle system, instead of all at once.
    #[arg(long)]
    pub latency: bool,
    /// Worker processes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Steps a worker runs at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub concurrency: u32,
    /// Runs; each figure is the median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
}

impl BenchArgs {
    fn task_count(&self) -> u32 {
        self.tasks.unwrap_or(if self.latency { 200 } else { 2_500 }).max(1)
    }
}

/// Runs the benchmark against the database at `url`.
///
/// # Errors
/// The database cannot be reached or lacks the schema, a child process ends, or tasks do not finish.
pub async fn run(args: &BenchArgs, url: &str) -> Result<Report, BenchError> {
    let pool = tasker_core::db::connect(&tasker_core::db::DbOptions::new(url, "tasker bench")).await?;
    tasker_core::schema::check(&pool).await?;
    // A namespace of its own each time, so that nothing left by an interrupted run is measured.
    let namespace = format!("bench_{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let template = args.workflow.definition(&namespace);
    sqlx::query("select created from tasker.apply_template($1)").bind(&template).execute(&pool).await?;
    let mut processes = processes::Processes::start(url, &namespace, args.workers, args.concurrency)?;
    let report = measure(args, &pool, &namespace, &mut processes).await;
    processes.stop().await?;
    report
}

async fn measure(
    args: &BenchArgs,
    pool: &PgPool,
    namespace: &str,
    processes: &mut processes::Processes,
) -> Result<Report, BenchError> {
    processes.wait_until_ready(pool, namespace, Duration::from_secs(20)).await?;
    let bench = run::Bench { pool, namespace, workflow: args.workflow, tasks: args.task_count() };
    let bar = progress(u64::from(args.runs));
    // Once unmeasured: plans are cached, pages are there, pools are full.
    bench.warm_up(processes).await?;
    let mut runs = Vec::new();
    for _ in 0..args.runs {
        let floor = floor::messages_per_second(pool).await?;
        let figures = if args.latency {
            bench.one_at_a_time(processes).await?
        } else {
            bench.all_at_once(processes).await?
        };
        bar.inc(1);
        runs.push((figures, floor));
    }
    bar.finish_and_clear();
    let server: String =
        sqlx::query_scalar("select current_setting('server_version')").fetch_one(pool).await?;
    Ok(Report::new(args, bench.tasks, server, &runs, processes.peak_rss()?))
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
