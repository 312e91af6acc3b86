//! `tasker queue`: what lies in the queues.

use crate::{
    error::Result,
    globals::Globals,
    output::{self, Look},
    table::Table,
    units::milliseconds,
};
use clap::Subcommand;
use pgtasker_client::QueueOverview;
use std::process::ExitCode;

/// The commands of `tasker queue`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Every queue with its depth.
    List,
}

pub async fn run(QueueCommand::List: QueueCommand, globals: &Globals) -> Result<ExitCode> {
    let queues = globals.client().await?.list_queues().await?;
    match globals.json {
        true => output::print_json(&queues)?,
        false => output::print(&table(&queues, Look::stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(queues: &[QueueOverview], look: Look) -> String {
    let head = ["QUEUE", "DEPTH", "VISIBLE", "OLDEST", "SENT", "PARKED", "HELD", "LIMIT", "PAUSED"];
    let mut table = Table::new(look, &head).wrap_from(9).keep(3);
    for queue in queues {
        table.row([
            queue.queue.clone(),
            queue.depth.to_string(),
            queue.visible.to_string(),
            queue.oldest_age_seconds.map(|s| milliseconds(s * 1000.0)).unwrap_or_default(),
            queue.total.to_string(),
            queue.parked.to_string(),
            queue.held.to_string(),
            queue.max_depth.map(|limit| limit.to_string()).unwrap_or_default(),
            queue.pause_reason.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}
