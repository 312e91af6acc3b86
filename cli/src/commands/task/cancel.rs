//! `tasker task cancel`: one task, or all that match.

use super::operate::{self, Action, ByArgs, ManyArgs};
use crate::{error::Result, globals::Globals, output, short_id::TaskArg};
use clap::Args;
use pgtasker_client::TaskState;
use serde_json::json;
use std::process::ExitCode;

/// Options of `tasker task cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The task's id; or choose many by the options below.
    #[arg(
        value_name = "TASK",
        required_unless_present_any = ["FilterArgs", "all", "dry_run"],
        conflicts_with_all = ["FilterArgs", "all", "dry_run"],
    )]
    task_id: Option<TaskArg>,
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    many: ManyArgs,
}

/// A task that is cancelled already is not a failure; a task that finished in another state is.
pub async fn run(args: CancelArgs, globals: &Globals) -> Result<ExitCode> {
    let (client, by) = (globals.client().await?, args.by.named());
    let Some(task_id) = args.task_id else {
        return operate::many(&*client, &args.many, Action::Cancel, by.by(), globals).await;
    };
    let task_id = task_id.find(&*client).await?;
    let cancelled = client.cancel_task(task_id, by.by()).await?;
    let state = client.task_status(task_id).await?.state;
    if globals.json {
        output::print_json(&json!({"task_id": task_id, "cancelled": cancelled, "state": state}))?;
    }
    match (cancelled, state) {
        (false, TaskState::Cancelled) if !globals.json => output::print("cancelled before")?,
        (true, _) if !globals.json => output::print("cancelled")?,
        (true, _) | (false, TaskState::Cancelled) => {}
        (false, state) => return Err(operate::finished(task_id, state)),
    }
    Ok(ExitCode::SUCCESS)
}
