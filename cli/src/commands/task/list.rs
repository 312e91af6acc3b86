//! `tasker task list`: the newest tasks.

use super::operate::FilterArgs;
use crate::{
    commands::paging::PageArgs,
    error::Result,
    globals::Globals,
    labels,
    output::{self, Look},
    table::Table,
    units::{milliseconds, relative},
};
use chrono::Utc;
use clap::Args;
use pgtasker_client::{TaskOverview, TaskSelection};
use std::process::ExitCode;

/// Options of `tasker task list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    page: PageArgs,
}

pub async fn run(args: ListArgs, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    let filter = args.filter.selection();
    let pages = |page| {
        let (client, filter) = (&client, &filter);
        async move { client.list_tasks(filter, &page).await }
    };
    let tasks = args.page.collect(pages).await?;
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
    let mut table = Table::new(look, &["TASK", "TEMPLATE", "STATE", "DONE", "ENQUEUED", "TOOK"])
        .wrap_from(6)
        .keep(3);
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
            task.duration_ms
                .filter(|_| task.completed_at.is_some())
                .map(milliseconds)
                .unwrap_or_default(),
        ]);
    }
    table.render()
}
