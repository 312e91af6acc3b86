//! `tasker task list`: the newest tasks.

use crate::{
    args::Globals,
    database::Database,
    error::Result,
    labels,
    output::{self, Look},
    table::Table,
    units::{milliseconds, relative},
};
use chrono::Utc;
use clap::Args;
use std::process::ExitCode;
use tasker_core::{
    TaskState,
    client::{self, Page, TaskOverview, TaskSelection},
    pooler::InTransaction,
};

/// Options of `tasker task list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this namespace.
    #[arg(long)]
    namespace: Option<String>,
    /// Only of templates with this name.
    #[arg(long)]
    name: Option<String>,
    /// Only in this state, such as complete, error, blocked_by_failures.
    #[arg(long)]
    state: Option<TaskState>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

/// Lists.
pub async fn run(args: ListArgs, globals: &Globals) -> Result<ExitCode> {
    let pool = Database::open(globals).await?;
    let filter = TaskSelection {
        namespace: args.namespace,
        name: args.name,
        states: args.state.map(|state| vec![state]),
        ..TaskSelection::default()
    };
    let tasks = client::list_tasks(InTransaction(&pool), &filter, &Page::first(args.limit)).await?.items;
    if globals.json {
        output::print_json(&tasks)?;
    } else if tasks.is_empty() && filter == TaskSelection::default() {
        output::note("no tasks yet: tasker task enqueue NAMESPACE.NAME");
    } else if tasks.is_empty() {
        output::note("no such tasks");
    } else {
        output::print(&table(&tasks, Look::stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(tasks: &[TaskOverview], look: Look) -> String {
    let mut table =
        Table::new(look, &["TASK", "TEMPLATE", "STATE", "DONE", "ENQUEUED", "TOOK"]).wrap_from(6).keep(3);
    let now = Utc::now();
    for task in tasks {
        table.row([
            task.task_id.to_string(),
            format!("{}.{} {}", task.namespace, task.name, task.version),
            labels::task(task.state, look),
            if task.steps > 0 {
                format!("{}/{}", task.steps - task.remaining, task.steps)
            } else {
                String::new()
            },
            relative(task.created_at, now),
            task.duration_ms.filter(|_| task.completed_at.is_some()).map(milliseconds).unwrap_or_default(),
        ]);
    }
    table.render()
}
