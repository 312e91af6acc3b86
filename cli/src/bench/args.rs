//! The options of `tasker bench`.

use super::{language::Language, workflow::Workflow};
use crate::error::Error;
use clap::Args;
use std::path::PathBuf;

/// Instances of the tasks that are measured.
pub const INSTANCES: [u32; 3] = [1_000, 10_000, 50_000];

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The graph each task runs.
    #[arg(long, value_enum, default_value_t = Workflow::Linear)]
    pub workflow: Workflow,
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
    /// A worker in another language, in turn with the Rust worker, each on its own database.
    #[arg(long, value_enum, conflicts_with = "against")]
    pub language: Option<Language>,
    /// Number of runs; each figure is their median [default: 5, with --workflow batch 3, with
    /// --against or --language 10].
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
        let is_batch = self.workflow == Workflow::Batch;
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
        if is_batch && self.language.is_some() {
            return Err(Error::new("a worker in another language is measured with a fixed graph")
                .or_hint("leave --language out, or choose another --workflow"));
        }
        Ok(())
    }

    /// Whether two sides are measured in turn.
    pub fn compares(&self) -> bool {
        self.against.is_some() || self.language.is_some()
    }

    /// How many runs there are.
    pub fn run_count(&self) -> u16 {
        self.runs.unwrap_or(match (self.compares(), self.workflow) {
            (true, _) => 10,
            (false, Workflow::Batch) => 3,
            (false, _) => 5,
        })
    }

    /// The numbers of instances of a batch.
    pub fn sizes(&self) -> Vec<u32> {
        if self.instances.is_empty() { INSTANCES.to_vec() } else { self.instances.clone() }
    }

    /// Tasks of a run.
    pub fn task_count(&self) -> u32 {
        self.tasks.unwrap_or(if self.latency { 200 } else { 2_500 }).max(1)
    }
}
