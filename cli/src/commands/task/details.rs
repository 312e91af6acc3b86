//! `tasker task show` and `watch`: one task with its steps, its result, and its audit.

use super::follow;
use crate::{
    error::Result,
    globals::Globals,
    labels,
    output::{self, Look},
    short_id::TaskArg,
    steps::{self, error_text},
    table::Table,
    units::{self, clock, local, milliseconds, relative},
};
use chrono::Utc;
use clap::Args;
use pgtasker_client::{
    BatchOverview, Client, DagRow, Instances, StepOverview, StepTransition, TaskGraph,
    TaskOverview, TaskTransition, Transitions,
};
use serde::Serialize;
use serde_json::Value;
use std::{process::ExitCode, time::Duration};
use uuid::Uuid;

/// Options of `tasker task show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: TaskArg,
    /// Also show every transition of the task and its steps.
    #[arg(long)]
    audit: bool,
    /// Show all instances of its batches, not only those of small batches and the first in error.
    #[arg(long)]
    instances: bool,
}

/// What is shown beside the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct More {
    audit: bool,
    /// All instances of batches.
    instances: bool,
}

/// Options of `tasker task watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: TaskArg,
    /// Stop waiting after this time; the task goes on.
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    timeout: Option<Duration>,
}

pub async fn show(args: ShowArgs, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    let more = More { audit: args.audit, instances: args.instances };
    let task_id = args.task_id.find(&*client).await?;
    print(&*client, task_id, more, globals).await?;
    Ok(ExitCode::SUCCESS)
}

/// Follows to the end, then shows.
pub async fn watch(args: WatchArgs, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    let task_id = args.task_id.find(&*client).await?;
    let status = follow::until_settled(&*client, task_id, args.timeout).await?;
    print(&*client, task_id, More::default(), globals).await?;
    follow::verdict(&status)
}

/// Prints a task as it stands.
pub async fn print(
    client: &dyn Client,
    task_id: Uuid,
    more: More,
    globals: &Globals,
) -> Result<()> {
    let task = client.show_task(task_id).await?;
    let instances = if more.instances { Instances::All } else { Instances::Few(steps::FEW) };
    let graph = client.task_graph(task_id, instances).await?;
    let audit = match more.audit {
        true => Some(client.task_transitions(task_id).await?),
        false => None,
    };
    let result = result(client, task_id).await?;
    let context = client.task_context(task_id).await?;
    match globals.json {
        true => output::print_json(&Document {
            task: &task,
            context: &context,
            result: result.as_ref(),
            batches: &graph.batches,
            steps: &graph.steps,
            dag: &graph.dag,
            task_transitions: audit.as_ref().map(|audit| &audit.task),
            step_transitions: audit.as_ref().map(|audit| &audit.steps),
        }),
        false => {
            let values = Values { context: &context, result: result.as_ref() };
            output::print(&text(&task, &graph, values, audit.as_ref(), Look::stdout()))
        }
    }
}

/// Where it is more than an answer may hold, what says so: the rest of the task is shown.
async fn result(client: &dyn Client, task_id: Uuid) -> Result<Option<Value>> {
    match client.task_result(task_id).await {
        Err(pgtasker_client::Error::Refused { code, message, hint, .. }) if code == TOO_LARGE => {
            Ok(Some(
                serde_json::json!({"$hidden": format!("{message}. {}", hint.unwrap_or_default())}),
            ))
        }
        result => Ok(result?),
    }
}

/// The SQLSTATE of results that are more than an answer may hold.
const TOO_LARGE: &str = "TK013";

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    task: &'a TaskOverview,
    context: &'a Value,
    result: Option<&'a Value>,
    batches: &'a [BatchOverview],
    steps: &'a [StepOverview],
    dag: &'a [DagRow],
    #[serde(skip_serializing_if = "Option::is_none")]
    task_transitions: Option<&'a Vec<TaskTransition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_transitions: Option<&'a Vec<StepTransition>>,
}

/// What went into a task, and what came out of it.
#[derive(Clone, Copy)]
struct Values<'a> {
    context: &'a Value,
    result: Option<&'a Value>,
}

/// Longer ones are for `--json`.
const LONGEST: usize = 4_000;

/// A document as it is read best, as far as it has room.
fn shown(name: &str, value: &Value) -> String {
    let text = format!("{value:#}");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => {
            format!(
                "{name}\n{}\n… {} characters; --json shows all",
                &text[..end],
                text.chars().count()
            )
        }
        None => format!("{name}\n{text}"),
    }
}

fn text(
    task: &TaskOverview,
    graph: &TaskGraph,
    Values { context, result }: Values<'_>,
    audit: Option<&Transitions>,
    look: Look,
) -> String {
    let mut parts = vec![head(task, look)];
    if context.as_object().is_some_and(|context| !context.is_empty()) {
        parts.push(shown("context", context));
    }
    // Before its steps are made, a task has nothing but steps that do not exist.
    if !graph.steps.is_empty() {
        parts.push(steps::draw(graph, look, Utc::now()));
    }
    parts.extend(result.map(|result| shown("result", result)));
    parts.extend(audit.map(|audit| audit_table(audit, look)));
    parts.join("\n\n")
}

fn head(task: &TaskOverview, look: Look) -> String {
    let now = Utc::now();
    let mut table = Table::pairs(look);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("task", task.task_id.to_string());
    row("template", format!("{}.{} {}", task.namespace, task.name, task.version));
    row("state", labels::task(task.state, look));
    if let Some(reason) = &task.waiting_for {
        row("waits", reason.clone());
    }
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

/// Every transition, oldest first.
pub fn audit_table(
    Transitions { task: of_task, steps: of_steps }: &Transitions,
    look: Look,
) -> String {
    let actor =
        |id: Option<Uuid>| id.map(|id| id.simple().to_string().split_off(20)).unwrap_or_default();
    let of_task = of_task.iter().map(|t| {
        let states = [t.from_state.to_string(), t.to_state.to_string()];
        (t.at, "(task)".to_owned(), states, String::new(), actor(t.actor_id), t.reason.clone())
    });
    let of_steps = of_steps.iter().map(|t| {
        let states = [t.from_state.to_string(), t.to_state.to_string()];
        (t.at, t.name.clone(), states, t.attempt.to_string(), actor(t.actor_id), t.reason.clone())
    });
    let mut all: Vec<_> = of_task.chain(of_steps).collect();
    // Stable: what has the same time stays in its order.
    all.sort_by_key(|transition| transition.0);
    let mut table = Table::new(look, &["TIME", "STEP", "FROM", "TO", "ATTEMPT", "REASON", "BY"])
        .wrap_from(7)
        .keep(4);
    for (at, name, [from, to], attempt, by, reason) in all {
        table.row([clock(at), name, from, to, attempt, reason.unwrap_or_default(), by]);
    }
    table.render()
}
