//! `tasker dead-letter`: what people should look at, and what they decided.

mod many;

use super::paging::PageArgs;
use crate::{
    error::Result,
    globals::Globals,
    labels,
    output::{self, Look},
    short_id::{EntryArg, TaskArg},
    table::Table,
    units::{local, relative},
    who::who,
};
use chrono::Utc;
use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use many::{Action, ManyEntriesArgs};
use pgtasker_client::{
    By, Client, DeadLetter, DeadLetterCount, DeadLetterDetails, DeadLetterFilter, DeadLetterReason,
    DeadLetterStatus,
};
use serde_json::{Value, json};
use std::process::ExitCode;
use uuid::Uuid;

/// The commands of `tasker dead-letter`.
#[derive(Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// Pending dead letters, the most urgent first.
    List(ListArgs),
    /// Dead letters by reason and status.
    Counts,
    /// One dead letter with the snapshot of its task, or its message.
    Show(ShowArgs),
    /// Add a dead letter for a task by hand; the task itself is not changed.
    Add(AddArgs),
    /// Set the status of one dead letter, or of all that match, and add a note; the tasks are not
    /// touched.
    Update(UpdateArgs),
    /// Replay the failed part of the task, or send the message again, and close the entry: of one
    /// dead letter, or of all that match.
    Retry(RetryArgs),
}

/// Options of `tasker dead-letter list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only for this reason.
    #[arg(long, value_parser = reasons())]
    reason: Option<DeadLetterReason>,
    /// Only with this status [default: pending].
    #[arg(long, value_parser = statuses(), conflicts_with = "all")]
    status: Option<DeadLetterStatus>,
    /// With any status.
    #[arg(long)]
    all: bool,
    /// Only for this task.
    #[arg(long, value_name = "ID")]
    task: Option<TaskArg>,
    #[command(flatten)]
    page: PageArgs,
}

/// Options of `tasker dead-letter show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The entry's id.
    #[arg(value_name = "ENTRY")]
    entry_id: EntryArg,
}

/// Options of `tasker dead-letter add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The task's id.
    #[arg(value_name = "TASK")]
    task_id: TaskArg,
    /// Why it needs attention; written to the notes.
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
    /// Who [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Options of `tasker dead-letter update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// The entry's id; or choose many with the options below.
    #[arg(value_name = "ENTRY", conflicts_with_all = ["EntryFilterArgs", "all", "dry_run"])]
    entry_id: Option<EntryArg>,
    /// The new status.
    #[arg(long, value_parser = statuses())]
    status: Option<DeadLetterStatus>,
    /// A line for the notes.
    #[arg(long, value_name = "TEXT", required_unless_present = "status")]
    notes: Option<String>,
    /// Who [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    many: ManyEntriesArgs,
}

/// Options of `tasker dead-letter retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The entry's id; or choose many with the options below.
    #[arg(value_name = "ENTRY", conflicts_with_all = ["EntryFilterArgs", "all", "dry_run"])]
    entry_id: Option<EntryArg>,
    /// Why; written to the audit and the notes.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    many: ManyEntriesArgs,
}

fn reasons() -> impl TypedValueParser<Value = DeadLetterReason> {
    PossibleValuesParser::new(DeadLetterReason::NAMES).map(DeadLetterReason::from)
}

fn statuses() -> impl TypedValueParser<Value = DeadLetterStatus> {
    PossibleValuesParser::new(DeadLetterStatus::NAMES).map(DeadLetterStatus::from)
}

pub async fn run(command: DeadLetterCommand, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    match command {
        DeadLetterCommand::List(args) => list(&*client, args, globals).await?,
        DeadLetterCommand::Counts => {
            let counts = client.dead_letter_counts().await?;
            match globals.json {
                true => output::print_json(&counts)?,
                false if counts.is_empty() => output::note("no dead letters"),
                false => output::print(&counts_table(&counts, Look::stdout()))?,
            }
        }
        DeadLetterCommand::Show(ShowArgs { entry_id }) => {
            show(&*client, entry_id.find(&*client).await?, globals).await?;
        }
        DeadLetterCommand::Add(AddArgs { task_id, notes, by }) => {
            let by = who(by);
            let by = By { who: by.as_deref(), reason: None };
            let task_id = task_id.find(&*client).await?;
            let entry_id = client.add_dead_letter(task_id, notes.as_deref(), by).await?;
            match globals.json {
                true => output::print_json(&json!({"entry_id": entry_id}))?,
                false => output::print(&entry_id.to_string())?,
            }
        }
        DeadLetterCommand::Update(UpdateArgs { entry_id, status, notes, by, many }) => {
            let by = who(by);
            let Some(entry) = entry_id else {
                let by = By { who: by.as_deref(), reason: notes.as_deref() };
                let update = Action::Update { status: status.as_ref() };
                return many::run(&*client, &many, update, by, globals).await;
            };
            let entry_id = entry.find(&*client).await?;
            let by = By { who: by.as_deref(), reason: None };
            client.update_dead_letter(entry_id, status.as_ref(), notes.as_deref(), by).await?;
            tell(&*client, "updated", entry_id, globals).await?;
        }
        DeadLetterCommand::Retry(RetryArgs { entry_id, reason, by, many }) => {
            let by = who(by);
            let by = By { who: by.as_deref(), reason: reason.as_deref() };
            let Some(entry) = entry_id else {
                return many::run(&*client, &many, Action::Retry, by, globals).await;
            };
            let entry_id = entry.find(&*client).await?;
            client.retry_dead_letter(entry_id, by).await?;
            tell(&*client, "retried", entry_id, globals).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &dyn Client, args: ListArgs, globals: &Globals) -> Result<()> {
    let asked = args.status.is_some();
    let pending = || DeadLetterStatus::Pending;
    let status = (!args.all).then(|| args.status.unwrap_or_else(pending));
    let task_id = match args.task {
        Some(task) => Some(task.find(client).await?),
        None => None,
    };
    let filter = DeadLetterFilter { reason: args.reason, status, task_id, id_prefix: None };
    let filter = &filter;
    let pages = |page| async move { client.list_dead_letters(filter, &page).await };
    let entries = args.page.collect(pages).await?;
    match globals.json {
        true => output::print_json(&entries),
        false if entries.is_empty() => {
            output::note(match args.all || asked || filter.reason.is_some() || task_id.is_some() {
                true => "no such dead letters",
                false => "no pending dead letters",
            });
            Ok(())
        }
        false => output::print(&table(&entries, Look::stdout())),
    }
}

/// What was done, in a line.
async fn tell(client: &dyn Client, past: &str, entry_id: Uuid, globals: &Globals) -> Result<()> {
    let details = client.show_dead_letter(entry_id).await?;
    if globals.json {
        return output::print_json(&details);
    }
    let entry = &details.overview;
    let task = match (entry.task_id, entry.task_state) {
        (Some(task_id), Some(state)) => format!(", task {task_id} is {state}"),
        _ => String::new(),
    };
    output::print(&format!("{past}: the entry is {}{task}", entry.status))
}

async fn show(client: &dyn Client, entry_id: Uuid, globals: &Globals) -> Result<()> {
    let details = client.show_dead_letter(entry_id).await?;
    match globals.json {
        true => output::print_json(&details),
        false => output::print(&text(&details, Look::stdout())),
    }
}

fn table(entries: &[DeadLetter], look: Look) -> String {
    let headings = ["ENTRY", "REASON", "STATUS", "FOUND", "TASK", "TASK STATE", "DETAIL"];
    let mut table = Table::new(look, &headings).wrap_from(6).keep(4);
    let now = Utc::now();
    for entry in entries {
        table.row([
            entry.entry_id.to_string(),
            entry.reason.to_string(),
            entry.status.to_string(),
            relative(entry.created_at, now),
            entry.task_id.map(|id| id.to_string()).unwrap_or_default(),
            entry.task_state.map(|state| labels::task(state, look)).unwrap_or_default(),
            entry.detail.clone(),
        ]);
    }
    table.render()
}

fn counts_table(counts: &[DeadLetterCount], look: Look) -> String {
    let mut table = Table::new(look, &["REASON", "STATUS", "ENTRIES", "OLDEST"]);
    for count in counts {
        table.row([
            count.reason.to_string(),
            count.status.to_string(),
            count.entries.to_string(),
            relative(count.oldest, Utc::now()),
        ]);
    }
    table.render()
}

fn text(details: &DeadLetterDetails, look: Look) -> String {
    let entry = &details.overview;
    let mut table = Table::pairs(look);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("entry", entry.entry_id.to_string());
    row("reason", entry.reason.to_string());
    row("status", entry.status.to_string());
    row(
        "found",
        format!("{} ({})", local(entry.created_at), relative(entry.created_at, Utc::now())),
    );
    if let Some(task) = entry.task_id {
        row("task", task.to_string());
    }
    if let (Some(namespace), Some(name)) = (&entry.namespace, &entry.name) {
        row("template", format!("{namespace}.{name}"));
    }
    if let Some(state) = entry.task_state {
        row("task state now", labels::task(state, look));
    }
    for (name, value) in [("step", &entry.step), ("queue", &entry.queue)] {
        if let Some(value) = value {
            row(name, value.clone());
        }
    }
    row("detail", entry.detail.clone());
    if let (Some(by), Some(at)) = (&entry.resolved_by, entry.resolved_at) {
        row("closed", format!("{} by {by}", local(at)));
    }
    let mut parts = vec![table.render()];
    parts.extend(entry.notes.as_ref().map(|notes| format!("notes\n{}", output::safe(notes))));
    for (name, kept) in [("snapshot", &details.snapshot), ("message", &details.message)] {
        parts.extend(kept.as_ref().map(|kept: &Value| format!("{name}\n{kept:#}")));
    }
    parts.join("\n\n")
}
