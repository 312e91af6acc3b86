//! `tasker task cancel`.

use crate::{
    args::Globals,
    database::Database,
    error::{Error, Result},
    output,
};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use tasker_core::{TaskState, client};
use uuid::Uuid;

/// Options of `tasker task cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: Uuid,
    /// Written into the audit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Cancels; a task that is cancelled already is no failure, one that finished otherwise is.
pub async fn run(args: CancelArgs, globals: &Globals) -> Result<ExitCode> {
    let CancelArgs { task_id, reason } = args;
    let pool = Database::open(globals).await?;
    let cancelled = client::cancel(&pool, task_id, reason.as_deref()).await?;
    let state = client::status(&pool, task_id).await?.state;
    if globals.json {
        output::print_json(&json!({"task_id": task_id, "cancelled": cancelled, "state": state}))?;
    }
    match (cancelled, state) {
        (false, TaskState::Cancelled) if !globals.json => output::print("cancelled before")?,
        (true, _) if !globals.json => output::print("cancelled")?,
        (true, _) | (false, TaskState::Cancelled) => {}
        (false, state) => return Err(Error::new(format!("task {task_id} had already finished: {state}"))),
    }
    Ok(ExitCode::SUCCESS)
}
