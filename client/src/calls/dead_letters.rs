//! Dead letters: look at, retry, and close them.

use super::{unwrapped, uuid_of};
use crate::types::{
    By, DeadLetter, DeadLetterCount, DeadLetterDetails, DeadLetterFilter, DeadLetterSelection,
    DeadLettersChanged, Listed, Page,
};
use pgtasker_core::{DeadLetterReason, DeadLetterStatus, Error, Result, json::Document};
use sqlx::{PgExecutor, types::Json};
use uuid::Uuid;

const SHOW: &str = "select to_jsonb(v) - 'age' || jsonb_build_object('message', d.message, \
    'snapshot', \
       case when octet_length(d.snapshot::text) > 16777216 \
            then '{\"$hidden\": \"it has more than 16 MiB: read tasker.dead_letters\"}' else \
            d.snapshot end) \
     from tasker.dead_letter_overview v join tasker.dead_letter_details d using (entry_id) \
     where v.entry_id = $1";
const COUNTS: &str =
    "select to_jsonb(v) from tasker.dead_letter_counts v order by v.reason, v.status";
const LIST_DEAD_LETTERS: &str =
    "select to_jsonb(v) - 'age' from tasker.list_dead_letters($1, $2, $3, $4, $5, $6) v";

/// Dead letters in the order to look at them.
///
/// # Errors
/// `TK040` the page begins after an entry that is not there, `TK008` the page's limit or start.
pub async fn list_dead_letters(
    executor: impl PgExecutor<'_>,
    filter: &DeadLetterFilter,
    page: &Page,
) -> Result<Listed<DeadLetter>> {
    let rows = sqlx::query_scalar(LIST_DEAD_LETTERS)
        .bind(filter.reason.as_ref().map(DeadLetterReason::as_str))
        .bind(filter.status.as_ref().map(DeadLetterStatus::as_str))
        .bind(filter.task_id)
        .bind(uuid_of(page.after.as_deref())?)
        .bind(page.asked())
        .bind(&filter.id_prefix)
        .fetch_all(executor)
        .await?;
    Ok(Listed::new(unwrapped(rows), page, |entry: &DeadLetter| entry.entry_id.to_string()))
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
pub async fn dead_letter_counts(executor: impl PgExecutor<'_>) -> Result<Vec<DeadLetterCount>> {
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
    by: By<'_>,
) -> Result<Uuid> {
    let entry = sqlx::query_scalar("select tasker.add_dead_letter($1, $2, $3)")
        .bind(task_id)
        .bind(notes)
        .bind(by.who);
    Ok(entry.fetch_one(executor).await?)
}

/// Sets the status (none: as it is) and adds a line to the notes.
///
/// # Errors
/// `TK040` no such entry, `TK041` no such status, or another entry of the task is pending.
pub async fn update_dead_letter(
    executor: impl PgExecutor<'_>,
    entry_id: Uuid,
    status: Option<&DeadLetterStatus>,
    notes: Option<&str>,
    by: By<'_>,
) -> Result<()> {
    sqlx::query("select tasker.update_dead_letter($1, $2, $3, $4)")
        .bind(entry_id)
        .bind(status.map(DeadLetterStatus::as_str))
        .bind(notes)
        .bind(by.who)
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
    by: By<'_>,
) -> Result<()> {
    sqlx::query("select tasker.retry_dead_letter($1, $2, $3)")
        .bind(entry_id)
        .bind(by.reason)
        .bind(by.who)
        .execute(executor)
        .await?;
    Ok(())
}

/// How many dead letters are selected.
///
/// # Errors
/// `TK030` when nothing is selected by.
pub async fn count_dead_letters(
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
    status: Option<&DeadLetterStatus>,
    by: By<'_>,
    max: i32,
    after: Option<Uuid>,
) -> Result<DeadLettersChanged> {
    let changed = sqlx::query_as(
        "select done, skipped, last_entry from tasker.update_dead_letters($1, $2, $3, $4, $5, $6)",
    )
    .bind(Json(which))
    .bind(status.map(DeadLetterStatus::as_str))
    .bind(by.reason)
    .bind(by.who)
    .bind(max)
    .bind(after)
    .fetch_one(executor);
    Ok(changed.await?)
}
