//! What the operators' commands have in common: who and why, which tasks, and how it is said.

use crate::{
    error::{Error, Result},
    globals::Globals,
    output, units,
    who::who,
};
use chrono::{DateTime, Utc};
use clap::Args;
use pgtasker_client::{By, Client, TaskSelection, TaskState};
use pgtasker_core::bounds::MANY;
use serde_json::json;
use std::process::ExitCode;
use uuid::Uuid;

/// Tasks of one call, which is one transaction.
const BATCH: i64 = MANY.default as i64;

/// Who acts, and why.
#[derive(Debug, Args)]
pub struct ByArgs {
    /// Why; written to the audit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who acts; written to the audit [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl ByArgs {
    /// With the user's name where none was given. Nothing is proved by it: it is for those who read
    /// the audit.
    pub fn named(mut self) -> Self {
        self.by = who(self.by);
        self
    }

    pub fn by(&self) -> By<'_> {
        By { who: self.by.as_deref(), reason: self.reason.as_deref() }
    }
}

/// A filter of tasks, which must match all options given.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// In this namespace.
    #[arg(long)]
    namespace: Option<String>,
    /// With this template name.
    #[arg(long)]
    name: Option<String>,
    /// With this template version.
    #[arg(long)]
    version: Option<String>,
    /// In one of these states, such as complete, waiting_for_retry, error.
    #[arg(long, value_delimiter = ',', value_name = "STATE,…")]
    state: Vec<TaskState>,
    /// With this correlation id.
    #[arg(long, value_name = "UUID")]
    correlation_id: Option<Uuid>,
    /// Enqueued at this time or later: 2026-01-31T09:00:00Z, or an age such as 2h.
    #[arg(long, value_name = "TIME", value_parser = units::parse_past)]
    created_after: Option<DateTime<Utc>>,
    /// Enqueued before this time.
    #[arg(long, value_name = "TIME", value_parser = units::parse_past)]
    created_before: Option<DateTime<Utc>>,
    /// With an error of this code.
    #[arg(long, value_name = "CODE")]
    error_code: Option<String>,
    /// With this idempotency key.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl FilterArgs {
    /// As the client takes it.
    pub fn selection(&self) -> TaskSelection {
        TaskSelection {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            states: (!self.state.is_empty()).then(|| self.state.clone()),
            task_ids: None,
            correlation_id: self.correlation_id,
            created_after: self.created_after,
            created_before: self.created_before,
            error_code: self.error_code.clone(),
            idempotency_key: self.idempotency_key.clone(),
            id_prefix: None,
        }
    }
}

/// Many tasks instead of one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many tasks: all that match")]
pub struct ManyArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only count them, even with --all.
    #[arg(long)]
    dry_run: bool,
    /// Act on every task that matches.
    #[arg(long)]
    all: bool,
}

/// What is done to many tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Retry,
    Cancel,
}

impl Action {
    /// The verb, its past, and the states a task can be in.
    fn words(self) -> (&'static str, &'static str, Vec<TaskState>) {
        match self {
            Self::Retry => {
                ("retry", "retried", vec![TaskState::BlockedByFailures, TaskState::Error])
            }
            Self::Cancel => {
                let unfinished =
                    TaskState::ALL.iter().copied().filter(|state| !state.is_terminal());
                ("cancel", "cancelled", unfinished.collect())
            }
        }
    }

    async fn call(
        self,
        client: &dyn Client,
        which: &TaskSelection,
        by: By<'_>,
        max: i64,
    ) -> Result<i64> {
        let max = i32::try_from(max)?;
        let done = match self {
            Self::Retry => client.retry_tasks(which, by, max).await?,
            Self::Cancel => client.cancel_tasks(which, by, max).await?,
        };
        Ok(done.into())
    }
}

impl ManyArgs {
    /// The tasks that match and that the action can be done to.
    fn selection(&self, action: Action) -> Result<TaskSelection> {
        let (verb, _, possible) = action.words();
        let selection = self.filter.selection();
        if selection == TaskSelection::default() {
            return Err(Error::new(format!("no option says which tasks to {verb}"))
                .or_hint("narrow them down: --namespace, --name, --state, --created-before, …"));
        }
        let asked = selection.states.as_ref().unwrap_or(&possible);
        let states: Vec<TaskState> =
            possible.iter().copied().filter(|state| asked.contains(state)).collect();
        if states.is_empty() {
            let possible =
                possible.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::new(format!("there is nothing to {verb} in such a state"))
                .or_hint(format!("the states are: {possible}")));
        }
        Ok(TaskSelection { states: Some(states), ..selection })
    }
}

/// Acts on all that match; only counts them for a dry run, and without `--all`.
pub async fn many(
    client: &dyn Client,
    args: &ManyArgs,
    action: Action,
    by: By<'_>,
    globals: &Globals,
) -> Result<ExitCode> {
    let (verb, past, _) = action.words();
    let which = args.selection(action)?;
    let matching = client.count_tasks(&which).await?;
    let all = args.all && !args.dry_run;
    if !args.all && !args.dry_run && matching > 0 {
        return Err(Error::new(format!("{} match; none was {past}", tasks(matching)))
            .or_hint(format!("add --all to {verb} them")));
    }
    let mut done = 0;
    // Never more than there were: a task that fails again at once would come round again.
    while all && done < matching {
        match action.call(client, &which, by, BATCH.min(matching - done)).await? {
            0 => break,
            more => done += more,
        }
    }
    if globals.json {
        output::print_json(&json!({"matching": matching, past: done}))?;
    } else if args.dry_run {
        output::print(&format!("{} would be {past}", tasks(matching)))?;
    } else {
        output::print(&format!("{past} {}", tasks(done)))?;
    }
    if all && done < matching {
        let left = matching - done;
        output::note(&format!("{left} were locked or moved on meanwhile: run it again"));
    }
    Ok(ExitCode::SUCCESS)
}

/// `1 task`, `2 tasks`.
fn tasks(number: i64) -> String {
    units::counted(number, "task")
}

/// Prints the outcome for one task or step: `done`, or that there was nothing to do.
pub async fn tell(
    client: &dyn Client,
    task_id: Uuid,
    past: &str,
    done: bool,
    nothing: &str,
    globals: &Globals,
) -> Result<ExitCode> {
    let state = client.task_status(task_id).await?.state;
    if globals.json {
        output::print_json(&json!({"task_id": task_id, past: done, "state": state}))?;
    } else if done {
        output::print(&format!("{past}: the task is {state}"))?;
    } else {
        output::print(&format!("{nothing}: the task is {state}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A task that has finished can be neither retried, resolved, nor cancelled.
pub fn finished(task_id: Uuid, state: TaskState) -> Error {
    Error::new(format!("task {task_id} had already finished: {state}"))
}
