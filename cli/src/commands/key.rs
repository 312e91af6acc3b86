//! `tasker key`: keys of the HTTP API.

use crate::{error::Result, globals::Globals, output};
use clap::{Args, Subcommand};
use pgtasker_api::new_key;
use serde_json::json;
use std::process::ExitCode;

/// The subcommands of `tasker key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key for the HTTP API; it is printed once, with the lines for the keys file.
    New(NewArgs),
}

/// Options of `tasker key new`.
#[derive(Debug, Args)]
#[command(
    after_help = "Give the key to the program that uses it (TASKER_API_KEY), and add the lines to \
        the file of --http-keys."
)]
pub struct NewArgs {
    /// Who uses the key; shown in the audit.
    name: String,
    /// A permission of the key, such as tasks:read, or * for all; repeat it, or separate several
    /// with commas.
    #[arg(long, value_name = "NAME", required = true, value_delimiter = ',')]
    permission: Vec<String>,
    /// A namespace that the key is limited to; repeat it, or separate several with commas [default:
    /// all].
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
