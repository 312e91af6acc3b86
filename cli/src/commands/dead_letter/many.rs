//! Many dead letters at once: all that match.

use super::{reasons, statuses};
use crate::{
    error::{Error, Result},
    globals::Globals,
    output, units,
};
use chrono::{DateTime, Utc};
use clap::Args;
use pgtasker_client::{By, Client, DeadLetterReason, DeadLetterSelection, DeadLetterStatus};
use pgtasker_core::bounds::MANY;
use serde_json::json;
use std::process::ExitCode;

/// Entries of one call, which is one transaction.
const BATCH: i32 = MANY.default as i32;

/// A filter of dead letters, which must match all options given.
#[derive(Debug, Clone, Default, Args)]
pub struct EntryFilterArgs {
    /// With this reason.
    #[arg(long, value_parser = reasons(), value_name = "REASON")]
    entry_reason: Option<DeadLetterReason>,
    /// With this status [default: pending].
    #[arg(long, value_parser = statuses(), value_name = "STATUS")]
    entry_status: Option<DeadLetterStatus>,
    /// In this namespace.
    #[arg(long)]
    namespace: Option<String>,
    /// With this template name.
    #[arg(long)]
    name: Option<String>,
    /// For this step.
    #[arg(long)]
    step: Option<String>,
    /// Created at this time or later: 2026-01-31T09:00:00Z, or an age such as 2h.
    #[arg(long, value_name = "TIME", value_parser = units::parse_past)]
    created_after: Option<DateTime<Utc>>,
    /// Created before this time.
    #[arg(long, value_name = "TIME", value_parser = units::parse_past)]
    created_before: Option<DateTime<Utc>>,
}

/// Many dead letters instead of one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many dead letters: all that match")]
pub struct ManyEntriesArgs {
    #[command(flatten)]
    filter: EntryFilterArgs,
    /// Only count them, even with --all.
    #[arg(long)]
    dry_run: bool,
    /// Act on every dead letter that matches.
    #[arg(long)]
    all: bool,
}

/// What is done to many dead letters.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    Retry,
    Update { status: Option<&'a DeadLetterStatus> },
}

impl EntryFilterArgs {
    fn selection(&self) -> DeadLetterSelection {
        DeadLetterSelection {
            reason: self.entry_reason.clone(),
            status: self.entry_status.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            step: self.step.clone(),
            queue: None,
            created_after: self.created_after,
            created_before: self.created_before,
        }
    }
}

/// Acts on all that match; only counts them for a dry run, and without `--all`.
pub async fn run(
    client: &dyn Client,
    args: &ManyEntriesArgs,
    action: Action<'_>,
    by: By<'_>,
    globals: &Globals,
) -> Result<ExitCode> {
    let (verb, past) = match action {
        Action::Retry => ("retry", "retried"),
        Action::Update { .. } => ("update", "updated"),
    };
    let mut which = args.filter.selection();
    if which == DeadLetterSelection::default() {
        if !args.all && !args.dry_run {
            return Err(Error::new(format!("no option says which dead letters to {verb}"))
                .or_hint(
                    "give an entry's id, or narrow them down: --entry-reason, --namespace, \
                 --created-after, …",
                ));
        }
        which.status = Some(DeadLetterStatus::Pending);
    }
    let matching = client.count_dead_letters(&which).await?;
    if !args.all && !args.dry_run && matching > 0 {
        return Err(Error::new(format!("{} match; none was {past}", entries(matching)))
            .or_hint(format!("add --all to {verb} them")));
    }
    let (done, skipped) = match args.all && !args.dry_run {
        true => change_all(client, &which, action, by).await?,
        false => (0, 0),
    };
    if globals.json {
        output::print_json(&json!({"matching": matching, past: done, "skipped": skipped}))?;
    } else if args.dry_run {
        output::print(&format!("{} would be {past}", entries(matching)))?;
    } else {
        output::print(&format!("{past} {}", entries(done)))?;
    }
    if skipped > 0 {
        output::note(&format!(
            "{} could not be {past}, and stay as they are: nothing to replay, or held by another \
             transaction",
            entries(skipped)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// How many were changed, and how many could not be.
async fn change_all(
    client: &dyn Client,
    which: &DeadLetterSelection,
    action: Action<'_>,
    by: By<'_>,
) -> Result<(i64, i64)> {
    let (mut done, mut skipped, mut after) = (0, 0, None);
    loop {
        let changed = match action {
            Action::Retry => client.retry_dead_letters(which, by, BATCH, after).await?,
            Action::Update { status } => {
                client.update_dead_letters(which, status, by, BATCH, after).await?
            }
        };
        done += i64::from(changed.done);
        skipped += i64::from(changed.skipped);
        after = changed.last_entry;
        if after.is_none() {
            return Ok((done, skipped));
        }
    }
}

fn entries(number: i64) -> String {
    units::counted(number, "dead letter")
}
