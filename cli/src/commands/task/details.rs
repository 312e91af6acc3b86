//! `tasker task show` and `watch`: one task with its steps, its result, and its audit.

use super::follow;
use crate::{
    args::Globals,
    database::Database,
    error::Result,
    labels,
    output::{self, Look},
    steps::{self, error_text},
    table::Table,
    units::{self, clock, local, milliseconds, relative},
};
use chrono::Utc;
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use std::{process::ExitCode, time::Duration};
use tasker_core::client::{
    self, DagRow, StepOverview, StepTransition, TaskDetails, TaskOverview, TaskTransition,
};
use uuid::Uuid;

/// Options of `tasker task show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: Uuid,
    /// Every transition of the task and its steps, too.
    #[arg(long)]
    audit: bool,
}

/// Options of `tasker task watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: Uuid,
    /// Give up waiting, not the task, after this time.
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    timeout: Option<Duration>,
}

/// Shows.
pub async fn show(args: ShowArgs, globals: &Globals) -> Result<ExitCode> {
    let pool = Database::open(globals).await?;
    print(&pool, args.task_id, args.audit, globals).await?;
    Ok(ExitCode::SUCCESS)
}

/// Follows to the end, then shows.
pub async fn watch(args: WatchArgs, globals: &Globals) -> Result<ExitCode> {
    let pool = Database::open(globals).await?;
    let status = follow::until_settled(&pool, args.task_id, args.timeout).await?;
    print(&pool, args.task_id, false, globals).await?;
    follow::verdict(&status)
}

/// Prints a task as it stands.
pub async fn print(pool: &PgPool, task_id: Uuid, audit: bool, globals: &Globals) -> Result<()> {
    let details = client::show_task(pool, task_id).await?;
    let result = client::result(pool, task_id).await?;
    match globals.json {
        true => output::print_json(&Document {
            task: &details.task,
            result: result.as_ref(),
            steps: &details.steps,
            dag: &details.dag,
            task_transitions: audit.then_some(&details.task_transitions),
            step_transitions: audit.then_some(&details.step_transitions),
        }),
        false => output::print(&text(&details, result.as_ref(), audit, Look::stdout())),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    task: &'a TaskOverview,
    result: Option<&'a Value>,
    steps: &'a [StepOverview],
    dag: &'a [DagRow],
    #[serde(skip_serializing_if = "Option::is_none")]
    task_transitions: Option<&'a Vec<TaskTransition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_transitions: Option<&'a Vec<StepTransition>>,
}

fn text(details: &TaskDetails, result: Option<&Value>, audit: bool, look: Look) -> String {
    let mut parts = vec![head(&details.task, look)];
    if !details.steps.is_empty() {
        parts.push(steps::draw(&details.steps, &details.dag, look, Utc::now()));
    }
    parts.extend(result.map(|result| format!("result\n{result:#}")));
    if audit {
        parts.push(audit_table(details, look));
    }
    parts.join("\n\n")
}

fn head(task: &TaskOverview, look: Look) -> String {
    let now = Utc::now();
    let mut table = Table::pairs(look);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("task", task.task_id.to_string());
    row("template", format!("{}.{} {}", task.namespace, task.name, task.version));
    row("state", labels::task(task.state, look));
    if task.steps > 0 {
        row("done", format!("{} of {} steps", task.steps - task.remaining, task.steps));
    }
    row("enqueued", format!("{} ({})", local(task.created_at), relative(task.created_at, now)));
    if let Some(at) = task.run_at {
        row("runs at", format!("{} ({})", local(at), relative(at, now)));
    }
    if let Some(ms) = task.duration_ms {
        row(if task.completed_at.is_some() { "took" } else { "so far" }, milliseconds(ms));
    }
    if task.priority != 0 {
        row("priority", task.priority.to_string());
    }
    if let Some(key) = &task.idempotency_key {
        row("idempotency key", key.clone());
    }
    if let Some(id) = task.correlation_id.filter(|id| *id != task.task_id) {
        row("correlation id", id.to_string());
    }
    if let Some(error) = &task.error {
        row("error", error_text(error));
    }
    table.render()
}

fn audit_table(details: &TaskDetails, look: Look) -> String {
    let actor = |id: Option<Uuid>| id.map(|id| id.simple().to_string().split_off(20)).unwrap_or_default();
    let of_task = details.task_transitions.iter().map(|t| {
        let states = [t.from_state.to_string(), t.to_state.to_string()];
        (t.at, "(task)".to_owned(), states, String::new(), actor(t.actor_id), t.reason.clone())
    });
    let of_steps = details.step_transitions.iter().map(|t| {
        let states = [t.from_state.to_string(), t.to_state.to_string()];
        (t.at, t.name.clone(), states, t.attempt.to_string(), actor(t.actor_id), t.reason.clone())
    });
    let mut all: Vec<_> = of_task.chain(of_steps).collect();
    // Stable: what has the same time stays in its order.
    all.sort_by_key(|transition| transition.0);
    let mut table =
        Table::new(look, &["TIME", "STEP", "FROM", "TO", "ATTEMPT", "REASON", "BY"]).wrap_from(7).keep(4);
    for (at, name, [from, to], attempt, by, reason) in all {
        table.row([clock(at), name, from, to, attempt, reason.unwrap_or_default(), by]);
    }
    table.render()
}
