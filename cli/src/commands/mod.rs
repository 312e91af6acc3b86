//! The commands, one module each.

pub mod api_args;
mod bench;
pub mod completions;
pub mod config;
pub mod dead_letter;
pub mod events;
mod health;
pub mod key;
pub mod migrate;
pub mod namespace;
pub mod orchestrator;
mod paging;
pub mod prune;
pub mod queue;
mod service;
pub mod settings;
pub mod step;
pub mod task;
pub mod template;
pub mod top;
pub mod up;
pub mod worker;

use crate::{
    args::Command,
    error::Result,
    globals::Globals,
    logging::{self, LogFormat},
};
use std::process::ExitCode;

/// Runs a command and gives the program's exit code.
///
/// # Errors
/// What made it fail; the exit code is 1 then.
pub async fn run(command: Command, globals: &Globals) -> Result<ExitCode> {
    // These three have options for their log.
    if !matches!(command, Command::Up(_) | Command::Orchestrator(_) | Command::Worker(_)) {
        logging::start(LogFormat::Human, logging::QUIET, None)?;
    }
    match command {
        Command::Up(args) => up::run(args, globals).await,
        Command::Orchestrator(args) => orchestrator::run(args, globals).await,
        Command::Worker(args) => worker::run(args, globals).await,
        Command::Demo(args) => crate::demo::run(args, globals).await,
        Command::Migrate(args) => migrate::run(args, globals).await,
        Command::Template(command) => template::run(command, globals).await,
        Command::Task(command) => task::run(command, globals).await,
        Command::Step(command) => step::run(command, globals).await,
        Command::Top(args) => top::run(args, globals).await,
        Command::Health => health::run(globals).await,
        Command::Namespace(command) => namespace::run(command, globals).await,
        Command::Queue(command) => queue::run(command, globals).await,
        Command::DeadLetter(command) => dead_letter::run(command, globals).await,
        Command::Events(command) => events::run(command, globals).await,
        Command::Prune(args) => prune::run(args, globals).await,
        Command::Settings(command) => settings::run(command, globals).await,
        Command::Config(command) => config::run(command, globals),
        Command::Bench(args) => bench::run(args, globals).await,
        Command::Key(command) => key::run(command, globals),
        Command::Completions(args) => completions::run(args),
    }
}
