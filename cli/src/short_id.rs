//! Ids as people write them: whole, or their beginning.

use crate::{
    error::{Error, Result},
    units::relative,
};
use chrono::Utc;
use pgtasker_client::{Client, DeadLetterFilter, Page, TaskSelection};
use std::str::FromStr;
use uuid::Uuid;

/// How many are listed where several begin so.
const SHOWN: u32 = 20;

/// The beginning of an id, or the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prefix(String);

impl Prefix {
    fn parse(text: &str, of: &str, list: &str) -> Result<Self, String> {
        let digits = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        match digits && !text.is_empty() && text.len() <= 36 {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "{text:?} is not the id of {of}, nor its beginning: `{list}` shows them"
            )),
        }
    }

    fn whole(&self) -> Option<Uuid> {
        Uuid::parse_str(&self.0).ok()
    }

    /// The one that begins so.
    fn only(&self, what: &str, list: &str, found: Vec<(Uuid, String)>, more: bool) -> Result<Uuid> {
        match found.as_slice() {
            [] => Err(Error::new(format!("no {what} has an id that begins with {}", self.0))
                .or_hint(format!("`{list}` shows them"))),
            [(id, _)] => Ok(*id),
            several => {
                let lines: Vec<String> = several
                    .iter()
                    .take(SHOWN as usize)
                    .map(|(id, text)| format!("{id}  {text}"))
                    .collect();
                let and_more = if more { "\n      and more" } else { "" };
                Err(Error::new(format!("several {what}s have an id that begins with {}", self.0))
                    .or_hint(format!(
                        "write more of it:\n      {}{and_more}",
                        lines.join("\n      ")
                    )))
            }
        }
    }
}

/// A task on the command line: its id, or the beginning of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskArg(Prefix);

impl FromStr for TaskArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Prefix::parse(text, "a task", "tasker task list").map(Self)
    }
}

impl TaskArg {
    /// The task's id.
    ///
    /// # Errors
    /// No task begins so, or several: those are listed, the newest first.
    pub async fn find(&self, client: &dyn Client) -> Result<Uuid> {
        if let Some(id) = self.0.whole() {
            return Ok(id);
        }
        let which = TaskSelection { id_prefix: Some(self.0.0.clone()), ..TaskSelection::default() };
        let found = client.list_tasks(&which, &Page { after: None, limit: SHOWN + 1 }).await?.items;
        let more = found.len() > SHOWN as usize;
        let now = Utc::now();
        let found = found.into_iter().map(|task| {
            let text = format!(
                "{}.{}  {}  {}",
                task.namespace,
                task.name,
                task.state,
                relative(task.created_at, now)
            );
            (task.task_id, text)
        });
        self.0.only("task", "tasker task list", found.collect(), more)
    }
}

/// A dead letter on the command line: its id, or the beginning of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryArg(Prefix);

impl FromStr for EntryArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Prefix::parse(text, "a dead letter", "tasker dead-letter list").map(Self)
    }
}

impl EntryArg {
    /// The entry's id.
    ///
    /// # Errors
    /// No dead letter begins so, or several: those are listed, the most urgent first.
    pub async fn find(&self, client: &dyn Client) -> Result<Uuid> {
        if let Some(id) = self.0.whole() {
            return Ok(id);
        }
        let filter =
            DeadLetterFilter { id_prefix: Some(self.0.0.clone()), ..DeadLetterFilter::default() };
        let found =
            client.list_dead_letters(&filter, &Page { after: None, limit: SHOWN + 1 }).await?.items;
        let more = found.len() > SHOWN as usize;
        let now = Utc::now();
        let found = found.into_iter().map(|entry| {
            let text =
                format!("{}  {}  {}", entry.reason, entry.status, relative(entry.created_at, now));
            (entry.entry_id, text)
        });
        self.0.only("dead letter", "tasker dead-letter list --all", found.collect(), more)
    }
}
