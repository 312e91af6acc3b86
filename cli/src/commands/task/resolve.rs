//! `tasker task resolve`: a task or a step settled by hand.

use super::{
    context,
    operate::{self, ByArgs},
};
use crate::{args::Globals, database::Database, error::Result};
use clap::Args;
use std::process::ExitCode;
use tasker_core::{TaskState, client, pooler::InTransaction};
use uuid::Uuid;

/// Options of `tasker task resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: Uuid,
    /// Only this step: what depends on it goes on.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Its result: JSON, or @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    result: Option<String>,
    /// What a decision or a batchable would have said, such as {"type": "decision", "create_steps": ["ship"]} or
    /// {"type": "batches", "cursors": [1, 2]}: JSON, or @FILE, or - for standard input.
    #[arg(long, value_name = "JSON", requires = "step")]
    outcome: Option<String>,
    #[command(flatten)]
    by: ByArgs,
}

/// Resolves; what is resolved already is no failure.
pub async fn run(args: ResolveArgs, globals: &Globals) -> Result<ExitCode> {
    let ResolveArgs { task_id, step, result, outcome, by } = args;
    let result = result.map(|text| context::read(&text, "result")).transpose()?;
    let outcome = outcome.map(|text| context::read(&text, "outcome")).transpose()?;
    let (pool, by) = (Database::open(globals).await?, by.named());
    if let Some(step) = step {
        let resolved = client::resolve_step(
            InTransaction(&pool),
            task_id,
            &step,
            result.as_ref(),
            outcome.as_ref(),
            by.by(),
        )
        .await?;
        let nothing = "the step is complete or resolved already";
        return operate::tell(&pool, task_id, "resolved", resolved, nothing, globals).await;
    }
    let resolved = client::resolve_task(InTransaction(&pool), task_id, result.as_ref(), by.by()).await?;
    if !resolved {
        match client::status(InTransaction(&pool), task_id).await?.state {
            TaskState::ResolvedManually => {}
            state @ TaskState::Error => {
                let hint = "let it go on first: tasker task reset; or resolve its failed step: --step STEP";
                return Err(operate::finished(task_id, state).or_hint(hint));
            }
            state => return Err(operate::finished(task_id, state)),
        }
    }
    operate::tell(&pool, task_id, "resolved", resolved, "resolved before", globals).await
}
