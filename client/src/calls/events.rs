//! Looking at domain events without consuming them.

use crate::types::QueuedEvent;
use chrono::{DateTime, Utc};
use pgtasker_core::{Result, json};
use serde_json::Value;
use sqlx::PgExecutor;

const LIST_EVENTS: &str =
    "select msg_id, enqueued_at, read_ct, event::text from tasker.list_events($1, $2, $3)";

/// Up to `limit` (from 1 to 100,000) events of a namespace in the order of their messages: those
/// after the message `after`, none: the newest. Consumes and hides nothing. Numbers become visible
/// out of order where transactions overlap.
///
/// # Errors
/// `TK001` namespace, `TK008` the limit.
pub async fn list_events(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<QueuedEvent>> {
    let rows: Vec<(i64, DateTime<Utc>, i32, String)> = sqlx::query_as(LIST_EVENTS)
        .bind(namespace)
        .bind(after)
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .fetch_all(executor)
        .await?;
    let queued = |(msg_id, enqueued_at, read_ct, text): (_, _, _, String)| QueuedEvent {
        msg_id,
        enqueued_at,
        read_ct,
        event: json::from_text(&text).unwrap_or(Value::String(text)),
    };
    Ok(rows.into_iter().map(queued).collect())
}
