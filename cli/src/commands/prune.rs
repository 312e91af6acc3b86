//! `tasker prune`: removes what is older than its retention, now.

use crate::{error::Result, globals::Globals, output, who::who};
use clap::Args;
use pgtasker_client::By;
use pgtasker_core::bounds::PRUNED;
use serde_json::json;
use std::{process::ExitCode, time::Duration};

/// Between two batches, and while another process prunes.
const PAUSE: Duration = Duration::from_millis(100);

/// Options of `tasker prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The most tasks in one transaction.
    #[arg(
        long,
        value_name = "N",
        default_value_t = PRUNED.default,
        value_parser = clap::value_parser!(u32).range(PRUNED.range()),
    )]
    max: u32,
    /// Who prunes [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Prunes batch by batch until nothing is old enough.
pub async fn run(args: PruneArgs, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    let by = who(args.by);
    let by = By { who: by.as_deref(), reason: None };
    let (mut tasks, mut dead_letters) = (0_u64, 0_u64);
    loop {
        let pruned = client.prune(i32::try_from(args.max)?, by).await?;
        tasks += u64::try_from(pruned.tasks).unwrap_or(0);
        dead_letters += u64::try_from(pruned.dead_letters).unwrap_or(0);
        if !pruned.busy && pruned.tasks == 0 && pruned.dead_letters == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    match globals.json {
        true => output::print_json(&json!({"tasks": tasks, "dead_letters": dead_letters}))?,
        false => output::print(&format!("removed {tasks} tasks, {dead_letters} dead letters"))?,
    }
    Ok(ExitCode::SUCCESS)
}
