//! `tasker queue`: what lies in the queues.

use crate::{
    args::Globals,
    database::Database,
    error::Result,
    output::{self, Look},
    table::Table,
    units::milliseconds,
};
use clap::Subcommand;
use std::process::ExitCode;
use tasker_core::client::{self, QueueOverview};

/// The commands of `tasker queue`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Every queue with its depth.
    List,
}

/// Runs a command.
pub async fn run(command: QueueCommand, globals: &Globals) -> Result<ExitCode> {
    let QueueCommand::List = command;
    let pool = Database::open(globals).await?;
    let queues = client::list_queues(&pool).await?;
    match globals.json {
        true => output::print_json(&queues)?,
        false => output::print(&table(&queues, Look::stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(queues: &[QueueOverview], look: Look) -> String {
    let mut table = Table::new(look, &["QUEUE", "DEPTH", "VISIBLE", "OLDEST", "SENT"]).wrap_from(5).keep(3);
    for queue in queues {
        table.row([
            queue.queue.clone(),
            queue.depth.to_string(),
            queue.visible.to_string(),
            queue.oldest_age_seconds.map(|s| milliseconds(s * 1000.0)).unwrap_or_default(),
            queue.total.to_string(),
        ]);
    }
    table.render()
}
