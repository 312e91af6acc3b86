//! Following a task to its end: a live picture where standard error is a terminal, else just
//! waiting.

use crate::{
    error::{Error, Result},
    labels,
    output::{self, Look},
    progress,
    steps::{self, error_text},
    units::milliseconds,
};
use chrono::Utc;
use indicatif::ProgressBar;
use pgtasker_client::{Client, Instances, Result as ClientResult, TaskState, TaskStatus};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Between two looks at the task.
const REFRESH: Duration = Duration::from_millis(200);
/// Lines around the picture.
const HEAD_AND_BAR: usize = 4;
/// Effectively no limit.
const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Waits until the task moves no more by itself.
///
/// # Errors
/// There is no such task, or the time is over.
pub async fn until_settled(
    client: &dyn Client,
    task_id: Uuid,
    timeout: Option<Duration>,
) -> Result<TaskStatus> {
    let look = Look::stderr();
    let status = match look.terminal {
        false => client.wait(task_id, timeout.unwrap_or(YEARS)).await?,
        true => {
            let bar = progress::steps();
            let status =
                draw_until_settled(client, task_id, timeout.unwrap_or(YEARS), &bar, look).await;
            bar.finish_and_clear();
            status?
        }
    };
    match (status.is_settled(), timeout) {
        (false, Some(timeout)) => {
            let waited = milliseconds(timeout.as_secs_f64() * 1000.0);
            Err(Error::new(format!("task {task_id} is still {} after {waited}", status.state))
                .or_hint(format!("it goes on; follow it: tasker task watch {task_id}")))
        }
        _ => Ok(status),
    }
}

async fn draw_until_settled(
    client: &dyn Client,
    task_id: Uuid,
    timeout: Duration,
    bar: &ProgressBar,
    look: Look,
) -> ClientResult<TaskStatus> {
    let started = Instant::now();
    loop {
        let is_over = started.elapsed() >= timeout;
        let begun = Instant::now();
        match draw(client, task_id, bar, look).await {
            Ok(status) if status.is_settled() || is_over => return Ok(status),
            Ok(_) => {}
            Err(error) if error.is_transient() && !is_over => {
                let text = format!("cannot look at the moment: {}", Error::from(error).message());
                let width = usize::from(look.width.unwrap_or(80));
                bar.set_message(
                    console::truncate_str(&output::safe(&text), width, "…").into_owned(),
                );
            }
            Err(error) => return Err(error),
        }
        // Looking at a very large task takes a while: most of the time is for the task itself.
        tokio::time::sleep(REFRESH.max(4 * begun.elapsed())).await;
    }
}

async fn draw(
    client: &dyn Client,
    task_id: Uuid,
    bar: &ProgressBar,
    look: Look,
) -> ClientResult<TaskStatus> {
    let status = client.task_status(task_id).await?;
    let count = |state: &str| status.steps.get(state).copied().unwrap_or(0);
    let total: u64 = status.steps.values().sum();
    bar.set_length(total);
    bar.set_position(count("complete") + count("resolved_manually"));
    let name = format!("{}.{} {}", status.namespace, status.name, status.version);
    let head = labels::paint(&format!("{name}  {}", labels::task(status.state, look)));
    let rows = usize::from(console::Term::stderr().size().0).saturating_sub(HEAD_AND_BAR);
    let picture = picture(client, &status, total, rows, look).await?;
    bar.set_message(format!("{head}\n\n{picture}\n"));
    Ok(status)
}

/// The graph where it has room, without instances where only those have none; else counts.
async fn picture(
    client: &dyn Client,
    status: &TaskStatus,
    total: u64,
    rows: usize,
    look: Look,
) -> ClientResult<String> {
    let batches = client.list_batches(status.task_id).await?;
    let instances: i64 = batches.iter().map(|batch| batch.instances).sum();
    let lines = batches.len() + total.saturating_sub(instances.unsigned_abs()) as usize;
    if total > 0 && lines < rows {
        let mut graph = client.task_graph(status.task_id, Instances::Few(steps::FEW)).await?;
        let text = steps::draw(&graph, look, Utc::now());
        if text.lines().count() <= rows {
            return Ok(text);
        }
        graph.steps.retain(|step| step.instance.is_none());
        let text = steps::draw(&graph, look, Utc::now());
        if text.lines().count() <= rows {
            return Ok(text);
        }
    }
    let counts =
        status.steps.iter().map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(", ");
    let batches = batches.iter().take(rows.saturating_sub(1));
    let batches = batches.map(|batch| labels::paint(&steps::batch_line(batch, look)));
    Ok([counts].into_iter().chain(batches).collect::<Vec<_>>().join("\n"))
}

/// Success, or why the task did not end well.
pub fn verdict(status: &TaskStatus) -> Result<ExitCode> {
    if status.succeeded() {
        return Ok(ExitCode::SUCCESS);
    }
    let end = match status.state {
        TaskState::BlockedByFailures => "is blocked by failures",
        TaskState::Cancelled => "was cancelled",
        _ => "failed",
    };
    let reason =
        status.error.as_ref().map(|error| format!(": {}", error_text(error))).unwrap_or_default();
    Err(Error::new(format!("task {} {end}{reason}", status.task_id)))
}
