//! Following a task to its end: a live picture where standard error is a terminal, else just waiting.

use crate::{
    error::{Error, Result},
    labels,
    output::Look,
    progress,
    steps::{self, error_text},
    units::milliseconds,
};
use chrono::Utc;
use indicatif::ProgressBar;
use sqlx::PgPool;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use tasker_core::{
    Result as CoreResult, TaskState,
    client::{self, TaskStatus},
};
use uuid::Uuid;

/// Between two looks at the task.
const REFRESH: Duration = Duration::from_millis(200);
/// As good as for ever.
const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Waits until the task moves no more by itself.
///
/// # Errors
/// There is no such task, or the time is over.
pub async fn until_settled(pool: &PgPool, task_id: Uuid, timeout: Option<Duration>) -> Result<TaskStatus> {
    let look = Look::stderr();
    let status = match look.terminal {
        false => client::wait(pool, task_id, timeout.unwrap_or(YEARS)).await?,
        true => {
            let bar = progress::steps();
            let status = draw_until_settled(pool, task_id, timeout.unwrap_or(YEARS), &bar, look).await;
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
    pool: &PgPool,
    task_id: Uuid,
    timeout: Duration,
    bar: &ProgressBar,
    look: Look,
) -> CoreResult<TaskStatus> {
    let started = Instant::now();
    loop {
        let is_over = started.elapsed() >= timeout;
        match draw(pool, task_id, bar, look).await {
            Ok(status) if status.is_settled() || is_over => return Ok(status),
            Ok(_) => {}
            Err(error) if error.is_transient() && !is_over => {
                let text = format!("the database is away: {}", Error::from(error).message());
                let width = usize::from(look.width.unwrap_or(80));
                bar.set_message(console::truncate_str(&text, width, "…").into_owned());
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(REFRESH).await;
    }
}

async fn draw(pool: &PgPool, task_id: Uuid, bar: &ProgressBar, look: Look) -> CoreResult<TaskStatus> {
    let status = client::status(pool, task_id).await?;
    let count = |state: &str| status.steps.get(state).copied().unwrap_or(0);
    let total: u64 = status.steps.values().sum();
    bar.set_length(total);
    bar.set_position(count("complete") + count("resolved_manually"));
    let name = format!("{}.{} {}", status.namespace, status.name, status.version);
    let head = labels::paint(&format!("{name}  {}", labels::task(status.state, look)));
    let rows = console::Term::stderr().size().0;
    let picture = if total > 0 && total + 4 < rows.into() {
        let (all, dag) = client::task_steps(pool, task_id).await?;
        steps::draw(&all, &dag, look, Utc::now())
    } else {
        status.steps.iter().map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(", ")
    };
    bar.set_message(format!("{head}\n\n{picture}\n"));
    Ok(status)
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
    let reason = status.error.as_ref().map(|error| format!(": {}", error_text(error))).unwrap_or_default();
    Err(Error::new(format!("task {} {end}{reason}", status.task_id)))
}
