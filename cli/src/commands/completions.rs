//! `tasker completions`: for bash, zsh, fish, and others.

use crate::{args::Cli, error::Result, output};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::process::ExitCode;

/// Options of `tasker completions`.
#[derive(Debug, Args)]
#[command(after_help = "For bash: source <(tasker completions bash)")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub fn run(args: CompletionsArgs) -> Result<ExitCode> {
    // Not to standard output directly: clap_complete panics where its reader has gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tasker", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
