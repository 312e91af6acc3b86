//! `tasker task resolve`: a task or a step settled by hand.

use super::operate::{self, ByArgs};
use crate::{
    commands::step::{self, ResultArgs},
    error::Result,
    globals::Globals,
    short_id::TaskArg,
};
use clap::Args;
use pgtasker_client::TaskState;
use std::process::ExitCode;

/// Options of `tasker task resolve`.
#[derive(Debug, Args)]
#[command(mut_arg("outcome", |outcome| outcome.requires("step")))]
pub struct ResolveArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: TaskArg,
    /// Only this step, so that the steps that depend on it can run.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    with: ResultArgs,
    #[command(flatten)]
    by: ByArgs,
}

/// A task or step that is resolved already is not a failure.
pub async fn run(args: ResolveArgs, globals: &Globals) -> Result<ExitCode> {
    let ResolveArgs { task_id, step, with, by } = args;
    let (result, outcome) = with.read()?;
    let (client, by) = (globals.client().await?, by.named());
    let task_id = task_id.find(&*client).await?;
    if let Some(name) = step {
        return step::resolve(&*client, task_id, &name, (result, outcome), &by, globals).await;
    }
    let resolved = client.resolve_task(task_id, result.as_ref(), by.by()).await?;
    if !resolved {
        match client.task_status(task_id).await?.state {
            TaskState::ResolvedManually => {}
            state @ TaskState::Error => {
                let hint = "reset it first: tasker task reset; or resolve its failed step: \
                    --step STEP";
                return Err(operate::finished(task_id, state).or_hint(hint));
            }
            state => return Err(operate::finished(task_id, state)),
        }
    }
    operate::tell(&*client, task_id, "resolved", resolved, "resolved before", globals).await
}
