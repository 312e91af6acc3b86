//! `tasker task`: enqueue, list, show, watch, and what operators do: retry, reset, resolve, cancel.

mod cancel;
pub mod context;
mod details;
mod enqueue;
mod follow;
mod list;
mod operate;
mod resolve;
mod retry;

pub use cancel::CancelArgs;
pub use details::{ShowArgs, WatchArgs, audit_table};
pub use enqueue::EnqueueArgs;
pub use list::ListArgs;
pub use operate::{ByArgs, tell};
pub use resolve::ResolveArgs;
pub use retry::{ResetArgs, RetryArgs};

use crate::{error::Result, globals::Globals};
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
    /// Run failed steps again: of a task, of many tasks, or one step; results are kept.
    Retry(RetryArgs),
    /// Restart a task in error; results are kept.
    Reset(ResetArgs),
    /// Settle a task or a step by hand, with a result.
    Resolve(ResolveArgs),
    /// Stop a task, or many: unfinished steps are cancelled.
    Cancel(CancelArgs),
}

pub async fn run(command: TaskCommand, globals: &Globals) -> Result<ExitCode> {
    match command {
        TaskCommand::Enqueue(args) => enqueue::run(args, globals).await,
        TaskCommand::List(args) => list::run(args, globals).await,
        TaskCommand::Show(args) => details::show(args, globals).await,
        TaskCommand::Watch(args) => details::watch(args, globals).await,
        TaskCommand::Retry(args) => retry::retry(args, globals).await,
        TaskCommand::Reset(args) => retry::reset(args, globals).await,
        TaskCommand::Resolve(args) => resolve::run(args, globals).await,
        TaskCommand::Cancel(args) => cancel::run(args, globals).await,
    }
}
