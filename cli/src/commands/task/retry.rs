//! `tasker task retry` and `reset`: what failed runs again.

use super::operate::{self, Action, ByArgs, ManyArgs};
use crate::{
    commands::step,
    error::{Error, Result},
    globals::Globals,
    short_id::TaskArg,
};
use clap::Args;
use pgtasker_client::{TaskSelection, TaskState};
use std::process::ExitCode;

/// Options of `tasker task retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The task's id; or choose many by the options below.
    #[arg(
        value_name = "TASK",
        required_unless_present_any = ["FilterArgs", "all", "dry_run"],
        conflicts_with_all = ["FilterArgs", "all", "dry_run"],
    )]
    task_id: Option<TaskArg>,
    /// Only this step.
    #[arg(long, value_name = "STEP", conflicts_with_all = ["FilterArgs", "all", "dry_run"])]
    step: Option<String>,
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    many: ManyArgs,
}

/// Options of `tasker task reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: TaskArg,
    #[command(flatten)]
    by: ByArgs,
}

/// A task or step that runs already is not a failure.
pub async fn retry(args: RetryArgs, globals: &Globals) -> Result<ExitCode> {
    let (client, by) = (globals.client().await?, args.by.named());
    let Some(task_id) = args.task_id else {
        return operate::many(&*client, &args.many, Action::Retry, by.by(), globals).await;
    };
    let task_id = task_id.find(&*client).await?;
    if let Some(name) = &args.step {
        return step::retry(&*client, task_id, name, &by, globals).await;
    }
    let this = TaskSelection { task_ids: Some(vec![task_id]), ..TaskSelection::default() };
    let retried = client.retry_tasks(&this, by.by(), 1).await? > 0;
    if !retried {
        match client.task_status(task_id).await?.state {
            state @ (TaskState::BlockedByFailures | TaskState::Error) => {
                return Err(Error::new(format!(
                    "task {task_id} is {state}, and held by another transaction"
                ))
                .or_hint("try again in a moment"));
            }
            state if state.is_terminal() => return Err(operate::finished(task_id, state)),
            _ => {}
        }
    }
    operate::tell(&*client, task_id, "retried", retried, "nothing keeps it from going on", globals)
        .await
}

/// A task that has not finished is not a failure.
pub async fn reset(args: ResetArgs, globals: &Globals) -> Result<ExitCode> {
    let (client, by) = (globals.client().await?, args.by.named());
    let task_id = args.task_id.find(&*client).await?;
    let reset = client.reset_task(task_id, by.by()).await?;
    operate::tell(&*client, task_id, "reset", reset, "it has not finished", globals).await
}
