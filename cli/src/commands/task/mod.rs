//! `tasker task`: enqueue, list, show, watch, cancel.

mod cancel;
mod context;
mod details;
mod enqueue;
mod follow;
mod list;

pub use cancel::CancelArgs;
pub use details::{ShowArgs, WatchArgs};
pub use enqueue::EnqueueArgs;
pub use list::ListArgs;

use crate::{args::Globals, error::Result};
use clap::Subcommand;
use std::process::ExitCode;

/// The commands of `tasker task`.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Start a task and print its id.
    Enqueue(EnqueueArgs),
    /// The newest tasks.
    List(ListArgs),
    /// One task with its steps and its result.
    Show(ShowArgs),
    /// Follow a task until it has finished; exits with 1 when it fails.
    Watch(WatchArgs),
    /// Stop a task: what has not finished is cancelled.
    Cancel(CancelArgs),
}

/// Runs a command.
pub async fn run(command: TaskCommand, globals: &Globals) -> Result<ExitCode> {
    match command {
        TaskCommand::Enqueue(args) => enqueue::run(args, globals).await,
        TaskCommand::List(args) => list::run(args, globals).await,
        TaskCommand::Show(args) => details::show(args, globals).await,
        TaskCommand::Watch(args) => details::watch(args, globals).await,
        TaskCommand::Cancel(args) => cancel::run(args, globals).await,
    }
}
