//! Dead letters and retention as typed calls.

use super::{By, unwrapped};
use crate::{Error, Result, TaskState, json::Document};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgExecutor, types::Json};
use uuid::Uuid;

const SHOW: &str = "select to_jsonb(v) - 'age' || jsonb_build_object('message', d.message, \
    'snapshot', \
       case when octet_length(d.snapshot::text) > 16777216 \
            then '{\"$hidden\": \"it has more than 16 MiB: read tasker.dead_letters\"}' else \
            d.snapshot end) \
     from tasker.dead_letter_overview v join tasker.dead_letter_details d using (entry_id) where \
     v.entry_id = $1";
const COUNTS: &str =
    "select to_jsonb(v) from tasker.dead_letter_counts v order by v.reason, v.status";

/// A row of `tasker.dead_letter_overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// The entry.
    pub entry_id: Uuid,
    /// `staleness_timeout`, `max_retries_exceeded`, `permanent_failure`, `worker_unavailable`,
    /// `bad_message`, or `manual`.
    pub reason: String,
    /// `pending`, `manually_resolved`, `permanent_failure`, `cancelled`, or `ended_well`: its task
    /// went on and ended well.
    pub status: String,
    /// Of the reason; 1 is looked at first.
    pub priority: i32,
    /// What it is about; none: a message that names no task.
    pub task_id: Option<Uuid>,
    /// Of the task.
    pub namespace: Option<String>,
    /// Of the task's template.
    pub name: Option<String>,
    /// The step that made it.
    pub step: Option<String>,
    /// Where the task stands now.
    pub task_state: Option<TaskState>,
    /// Of a message.
    pub queue: Option<String>,
    /// What happened.
    pub detail: String,
    /// What people wrote, a line each.
    pub notes: Option<String>,
    /// Found.
    pub created_at: DateTime<Utc>,
    /// Who closed it.
    pub resolved_by: Option<String>,
    /// Closed.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// A dead letter with what it keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterDetails {
    /// What the list shows.
    #[serde(flatten)]
    pub overview: DeadLetter,
    /// The task and its steps when the entry was made.
    pub snapshot: Option<Value>,
    /// The message nobody could use.
    pub message: Option<Value>,
}

/// A row of `tasker.dead_letter_counts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterCount {
    /// As in [`DeadLetter`].
    pub reason: String,
    /// As in [`DeadLetter`].
    pub status: String,
    /// How many.
    pub entries: i64,
    /// The oldest of them.
    pub oldest: DateTime<Utc>,
}

/// Which dead letters to list; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only for this reason.
    pub reason: Option<String>,
    /// Only with this status.
    pub status: Option<String>,
    /// Only of this task.
    pub task_id: Option<Uuid>,
    /// Only with an id that begins so.
    pub id_prefix: Option<String>,
}

/// Which dead letters [`retry_dead_letters`] and [`update_dead_letters`] take: those to which all
/// that is set applies. At least something must be. Without a status: the pending ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeadLetterSelection {
    /// For this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Of tasks of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Of tasks of templates with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Messages of this queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Found then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// Found before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<DateTime<Utc>>,
}

/// What one call for many dead letters did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLettersChanged {
    /// How many were changed.
    pub done: i32,
    /// How many could not be and stay as they are.
    pub skipped: i32,
    /// Where the next call goes on; none: there are no more.
    pub last_entry: Option<Uuid>,
}

/// How many dead letters are selected.
///
/// # Errors
/// `TK030` when nothing is selected by.
pub async fn count_matching_dead_letters(
    executor: impl PgExecutor<'_>,
    which: &DeadLetterSelection,
) -> Result<i64> {
    let count = sqlx::query_scalar("select tasker.count_dead_letters($1)").bind(Json(which));
    Ok(count.fetch_one(executor).await?)
}

/// As [`retry_dead_letter`], for up to `max` selected ones after `after`.
///
/// # Errors
/// `TK030` when nothing is selected by, `TK008` when `max` is out of range.
pub async fn retry_dead_letters(
    executor: impl PgExecutor<'_>,
    which: &DeadLetterSelection,
    by: By<'_>,
    max: i32,
    after: Option<Uuid>,
) -> Result<DeadLettersChanged> {
    let changed = sqlx::query_as(
        "select done, skipped, last_entry from tasker.retry_dead_letters($1, $2, $3, $4, $5)",
    )
    .bind(Json(which))
    .bind(by.reason)
    .bind(by.who)
    .bind(max)
    .bind(after)
    .fetch_one(executor);
    Ok(changed.await?)
}

/// As [`update_dead_letter`], for up to `max` selected ones after `after`; the reason of `by` is
/// the note.
///
/// # Errors
/// `TK030` when nothing is selected by, `TK041` no such status, `TK008` when `max` is out of range.
pub async fn update_dead_letters(
    executor: impl PgExecutor<'_>,
    which: &DeadLetterSelection,
    status: Option<&str>,
    by: By<'_>,
    max: i32,
    after: Option<Uuid>,
) -> Result<DeadLettersChanged> {
    let changed = sqlx::query_as(
        "select done, skipped, last_entry from tasker.update_dead_letters($1, $2, $3, $4, $5, $6)",
    )
    .bind(Json(which))
    .bind(status)
    .bind(by.reason)
    .bind(by.who)
    .bind(max)
    .bind(after)
    .fetch_one(executor);
    Ok(changed.await?)
}

/// A dead letter with its snapshot or message.
///
/// # Errors
/// `TK040` when there is no such entry.
pub async fn show_dead_letter(
    executor: impl PgExecutor<'_>,
    entry_id: Uuid,
) -> Result<DeadLetterDetails> {
    let row: Option<Document<DeadLetterDetails>> =
        sqlx::query_scalar(SHOW).bind(entry_id).fetch_optional(executor).await?;
    row.map(|Document(entry)| entry).ok_or_else(|| Error::Refused {
        code: "TK040".to_owned(),
        message: format!("there is no dead letter {entry_id}"),
        hint: Some("tasker dead-letter list shows them".to_owned()),
    })
}

/// Dead letters by reason and status.
///
/// # Errors
/// Database errors only.
pub async fn count_dead_letters(executor: impl PgExecutor<'_>) -> Result<Vec<DeadLetterCount>> {
    Ok(unwrapped(sqlx::query_scalar(COUNTS).fetch_all(executor).await?))
}

/// Puts a task among the dead letters and returns the entry: the pending one where it has one.
///
/// # Errors
/// `TK004` when there is no such task.
pub async fn add_dead_letter(
    executor: impl PgExecutor<'_>,
    task_id: Uuid,
    notes: Option<&str>,
    by: Option<&str>,
) -> Result<Uuid> {
    let entry = sqlx::query_scalar("select tasker.add_dead_letter($1, $2, $3)")
        .bind(task_id)
        .bind(notes)
        .bind(by);
    Ok(entry.fetch_one(executor).await?)
}

/// Sets the status (none: as it is) and adds a line to the notes.
///
/// # Errors
/// `TK040` no such entry, `TK041` no such status, or another entry of the task is pending.
pub async fn update_dead_letter(
    executor: impl PgExecutor<'_>,
    entry_id: Uuid,
    status: Option<&str>,
    notes: Option<&str>,
    by: Option<&str>,
) -> Result<()> {
    sqlx::query("select tasker.update_dead_letter($1, $2, $3, $4)")
        .bind(entry_id)
        .bind(status)
        .bind(notes)
        .bind(by)
        .execute(executor)
        .await?;
    Ok(())
}

/// Replays the failed part of the entry's task, or sends its message again, and closes the entry.
///
/// # Errors
/// `TK040` no such entry, `TK041` it is not pending, `TK042` nothing to replay, `TK004` the task is
/// gone.
pub async fn retry_dead_letter(
    executor: impl PgExecutor<'_>,
    entry_id: Uuid,
    reason: Option<&str>,
    by: Option<&str>,
) -> Result<()> {
    sqlx::query("select tasker.retry_dead_letter($1, $2, $3)")
        .bind(entry_id)
        .bind(reason)
        .bind(by)
        .execute(executor)
        .await?;
    Ok(())
}

/// What one call of [`prune`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pruned {
    /// Finished tasks, with their steps and audit.
    pub tasks: i32,
    /// Closed dead letters.
    pub dead_letters: i32,
    /// Another process prunes at this moment; nothing was done.
    pub busy: bool,
}

/// Removes one batch of what is older than its retention, at most `max` of each kind. `by` is
/// recorded, none means the database role.
///
/// # Errors
/// `TK008` when `max` is out of range.
pub async fn prune(executor: impl PgExecutor<'_>, max: i32, by: Option<&str>) -> Result<Pruned> {
    let pruned = sqlx::query_as("select tasks, dead_letters, busy from tasker.prune($1, $2)")
        .bind(max)
        .bind(by)
        .fetch_one(executor);
    Ok(pruned.await?)
}
