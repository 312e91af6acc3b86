//! `tasker key`: keys of the HTTP API.

use crate::{error::Result, globals::Globals, output};
use clap::{Args, Subcommand};
use pgtasker_api::new_key;
use serde_json::json;
use std::process::ExitCode;

/// The subcommands of `tasker key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key of the HTTP API: printed once, with the lines for the keys file.
    New(NewArgs),
}

/// Options of `tasker key new`.
#[derive(Debug, Args)]
#[command(
    after_help = "The key goes to the program that uses it (TASKER_API_KEY), the lines to the \
        file of --http-keys."
)]
pub struct NewArgs {
    /// Who uses it: stands in the audit.
    name: String,
    /// What it allows, such as tasks:read; repeated, or a list with commas; * for everything.
    #[arg(long, value_name = "NAME", required = true, value_delimiter = ',')]
    permission: Vec<String>,
    /// The namespaces it is limited to; repeated, or a list with commas [default: all].
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',')]
    namespace: Vec<String>,
}

/// Runs a subcommand.
///
/// # Errors
/// A permission that there is not.
pub fn run(command: KeyCommand, globals: &Globals) -> Result<ExitCode> {
    let KeyCommand::New(NewArgs { name, permission, namespace }) = command;
    let made = new_key(&name, &permission, &namespace)?;
    if globals.json {
        output::print_json(&json!({"key": made.key, "toml": made.toml}))?;
    } else {
        // The lines alone on standard output, so that they can be added to the file at once.
        output::note(&format!(
            "the key, shown only now:\n\n  {}\n\nthe lines for the keys file:\n",
            made.key
        ));
        output::print(&made.toml)?;
    }
    Ok(ExitCode::SUCCESS)
}
