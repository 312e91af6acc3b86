//! `tasker namespace`: holding namespaces back.

use crate::{error::Result, globals::Globals, output, who::who};
use clap::{Args, Subcommand};
use pgtasker_client::By;
use serde_json::json;
use std::process::ExitCode;

/// The commands of `tasker namespace`.
#[derive(Debug, Subcommand)]
pub enum NamespaceCommand {
    /// Send no more steps to a namespace; tasks can be enqueued as before.
    Pause(PauseArgs),
    /// End a pause: held steps are sent, by priority.
    Resume(ResumeArgs),
    /// Limit how many steps may wait in a namespace's queue.
    Limit(LimitArgs),
}

/// Options of `tasker namespace pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The namespace.
    namespace: String,
    /// Shown in `tasker queue list`.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who pauses it [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Why, and who.
#[derive(Debug, Args)]
pub struct ByArgs {
    /// Why; written to the audit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Options of `tasker namespace resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The namespace.
    namespace: String,
    #[command(flatten)]
    by: ByArgs,
}

/// Options of `tasker namespace limit`.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The namespace.
    namespace: String,
    /// How many steps may wait, from 1.
    #[arg(
        value_name = "DEPTH",
        required_unless_present = "none",
        conflicts_with = "none",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(1..),
    )]
    depth: Option<i32>,
    /// Remove the limit.
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    by: ByArgs,
}

/// Runs a command.
pub async fn run(command: NamespaceCommand, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    let (namespace, said, json) = match command {
        NamespaceCommand::Pause(PauseArgs { namespace, reason, by }) => {
            let by = who(by);
            let by = By { who: by.as_deref(), reason: reason.as_deref() };
            let changed = client.pause_namespace(&namespace, by).await?;
            let said = if changed { "paused" } else { "paused before" }.to_owned();
            (namespace, said, json!({"paused": true, "changed": changed}))
        }
        NamespaceCommand::Resume(ResumeArgs { namespace, by: ByArgs { reason, by } }) => {
            let by = who(by);
            let by = By { who: by.as_deref(), reason: reason.as_deref() };
            let changed = client.resume_namespace(&namespace, by).await?;
            let said = if changed { "resumed" } else { "was not paused" }.to_owned();
            (namespace, said, json!({"paused": false, "changed": changed}))
        }
        NamespaceCommand::Limit(LimitArgs {
            namespace, depth, by: ByArgs { reason, by }, ..
        }) => {
            let by = who(by);
            let by = By { who: by.as_deref(), reason: reason.as_deref() };
            client.limit_namespace(&namespace, depth, by).await?;
            let said =
                depth.map_or("no limit".to_owned(), |depth| format!("at most {depth} steps wait"));
            (namespace, said, json!({"max_depth": depth}))
        }
    };
    match globals.json {
        true => {
            let mut answer = json!({"namespace": namespace});
            answer
                .as_object_mut()
                .into_iter()
                .for_each(|all| all.extend(json.as_object().cloned().unwrap_or_default()));
            output::print_json(&answer)?;
        }
        false => output::print(&format!("{namespace}: {said}"))?,
    }
    Ok(ExitCode::SUCCESS)
}
