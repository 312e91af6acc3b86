//! `tasker step`: the steps of a task one by one; what operators do to one.

use super::{
    paging::PageArgs,
    task::{ByArgs, audit_table, context, tell},
};
use crate::{
    error::Result,
    globals::Globals,
    labels,
    output::{self, Look},
    short_id::TaskArg,
    steps::{error_text, state},
    table::Table,
    units::{local, milliseconds, relative},
};
use chrono::Utc;
use clap::{Args, Subcommand};
use pgtasker_client::{Client, StepFilter, StepOverview, StepState, Transitions};
use serde_json::Value;
use std::process::ExitCode;
use uuid::Uuid;

/// The commands of `tasker step`.
#[derive(Debug, Subcommand)]
pub enum StepCommand {
    /// The steps of a task, roots first.
    List(ListArgs),
    /// One step with its error, its result, and its progress.
    Show(OneArgs),
    /// Every transition of a step.
    #[command(alias = "audit")]
    Transitions(OneArgs),
    /// Run a step in error again, with all its attempts.
    Retry(RetryArgs),
    /// Settle a step by hand, so that the steps that depend on it can run.
    Resolve(ResolveArgs),
}

/// Options of `tasker step list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: TaskArg,
    /// Only in one of these states, such as in_progress, error.
    #[arg(long, value_delimiter = ',', value_name = "STATE,…")]
    state: Vec<StepState>,
    /// Only instances of this batch (a step of the template).
    #[arg(long, value_name = "STEP")]
    template_step: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// One step.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: TaskArg,
    /// The step's name; an instance of a batch has a number, such as count_001.
    #[arg(value_name = "STEP")]
    step: String,
}

/// Options of `tasker step retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    by: ByArgs,
}

/// Options of `tasker step resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    result: ResultArgs,
    #[command(flatten)]
    by: ByArgs,
}

/// What a step is resolved with.
#[derive(Debug, Args)]
pub struct ResultArgs {
    /// Its result: JSON, or @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    pub result: Option<String>,
    /// The outcome of a decision or a batchable, such as {"type": "decision", "create_steps":
    /// ["ship"]} or {"type": "batches", "cursors": [1, 2]}: JSON, or @FILE, or - for standard
    /// input.
    #[arg(long, value_name = "JSON")]
    pub outcome: Option<String>,
}

impl ResultArgs {
    /// Result and outcome.
    ///
    /// # Errors
    /// One of them cannot be read or is not JSON.
    pub fn read(&self) -> Result<(Option<Value>, Option<Value>)> {
        let read = |text: &Option<String>, what| {
            text.as_ref().map(|text| context::read(text, what)).transpose()
        };
        Ok((read(&self.result, "result")?, read(&self.outcome, "outcome")?))
    }
}

pub async fn run(command: StepCommand, globals: &Globals) -> Result<ExitCode> {
    match command {
        StepCommand::List(args) => list(args, globals).await?,
        StepCommand::Show(args) => show(args, globals).await?,
        StepCommand::Transitions(args) => transitions(args, globals).await?,
        StepCommand::Retry(RetryArgs { one, by }) => {
            let client = globals.client().await?;
            let task_id = one.task_id.find(&*client).await?;
            return retry(&*client, task_id, &one.step, &by.named(), globals).await;
        }
        StepCommand::Resolve(ResolveArgs { one, result, by }) => {
            let with = result.read()?;
            let client = globals.client().await?;
            let task_id = one.task_id.find(&*client).await?;
            return resolve(&*client, task_id, &one.step, with, &by.named(), globals).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Retries a step; a step that runs already is not a failure.
pub async fn retry(
    client: &dyn Client,
    task_id: Uuid,
    step: &str,
    by: &ByArgs,
    globals: &Globals,
) -> Result<ExitCode> {
    let retried = client.retry_step(task_id, step, by.by()).await?;
    tell(client, task_id, "retried", retried, "the step waits or runs already", globals).await
}

/// Resolves a step; a step that is resolved already is not a failure.
pub async fn resolve(
    client: &dyn Client,
    task_id: Uuid,
    step: &str,
    (result, outcome): (Option<Value>, Option<Value>),
    by: &ByArgs,
    globals: &Globals,
) -> Result<ExitCode> {
    let resolved =
        client.resolve_step(task_id, step, result.as_ref(), outcome.as_ref(), by.by()).await?;
    tell(client, task_id, "resolved", resolved, "the step is complete or resolved already", globals)
        .await
}

async fn list(args: ListArgs, globals: &Globals) -> Result<()> {
    let client = globals.client().await?;
    let task_id = args.task_id.find(&*client).await?;
    let filter = StepFilter { states: args.state, template_step: args.template_step };
    let pages = |page| {
        let (client, filter) = (&client, &filter);
        async move { client.list_steps(task_id, filter, &page).await }
    };
    let steps = args.page.collect(pages).await?;
    match globals.json {
        true => output::print_json(&steps),
        false if steps.is_empty() && filter == StepFilter::default() => {
            output::note("its steps have not been created yet");
            Ok(())
        }
        false if steps.is_empty() => {
            output::note("no such steps");
            Ok(())
        }
        false => output::print(&table(&steps, Look::stdout())),
    }
}

fn table(steps: &[StepOverview], look: Look) -> String {
    let head = ["STEP", "STATE", "ATTEMPT", "HANDLER", "STARTED", "DURATION", "ERROR"];
    let mut table = Table::new(look, &head).wrap_from(6).keep(3);
    let now = Utc::now();
    for step in steps {
        table.row([
            step.step.clone(),
            state(step, look, now),
            if step.attempt > 0 {
                format!("{}/{}", step.attempt, step.max_attempts)
            } else {
                String::new()
            },
            step.handler.clone(),
            step.started_at.map(|at| relative(at, now)).unwrap_or_default(),
            step.duration_ms.map(milliseconds).unwrap_or_default(),
            step.waiting_for
                .clone()
                .or_else(|| step.error.as_ref().map(error_text))
                .unwrap_or_default(),
        ]);
    }
    table.render()
}

async fn show(OneArgs { task_id, step }: OneArgs, globals: &Globals) -> Result<()> {
    let client = globals.client().await?;
    let task_id = task_id.find(&*client).await?;
    let step = client.show_step(task_id, &step).await?;
    match globals.json {
        true => output::print_json(&step),
        false => output::print(&text(&step, Look::stdout())),
    }
}

fn text(step: &StepOverview, look: Look) -> String {
    let now = Utc::now();
    let mut table = Table::pairs(look);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("task", step.task_id.to_string());
    row("step", step.step.clone());
    if let Some(instance) = step.instance {
        row("instance", format!("{instance} of {}", step.template_step));
    }
    row("handler", step.handler.clone());
    row("state", state(step, look, now));
    row("attempts", format!("{} of {}", step.attempt, step.max_attempts));
    if let Some(reason) = &step.waiting_for {
        row("waits", reason.clone());
    }
    if step.waiting_on > 0 {
        row("waits for", format!("{} steps", step.waiting_on));
    }
    let times = [
        ("enqueued", step.enqueued_at),
        ("started", step.started_at),
        ("finished", step.completed_at),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            row(name, format!("{} ({})", local(at), relative(at, now)));
        }
    }
    if let Some(ms) = step.duration_ms {
        row("took", milliseconds(ms));
    }
    if let Some(worker) = step.worker_id {
        row("worker", worker.to_string());
    }
    if let Some(error) = &step.error {
        row("error", error_text(error));
    }
    let mut parts = vec![table.render()];
    let values =
        [("inputs", &step.inputs), ("checkpoint", &step.checkpoint), ("result", &step.result)];
    for (name, value) in values {
        parts.extend(value.as_ref().map(|value| format!("{name}\n{value:#}")));
    }
    parts.join("\n\n")
}

async fn transitions(OneArgs { task_id, step }: OneArgs, globals: &Globals) -> Result<()> {
    let client = globals.client().await?;
    let task_id = task_id.find(&*client).await?;
    let steps = client.step_transitions(task_id, &step).await?;
    match globals.json {
        true => output::print_json(&steps),
        false if steps.is_empty() => {
            output::note(&format!(
                "{step} has not changed since it was created: {}",
                labels::step(StepState::Pending, false, Look::PLAIN)
            ));
            Ok(())
        }
        false => {
            output::print(&audit_table(&Transitions { task: Vec::new(), steps }, Look::stdout()))
        }
    }
}
