//! Looking at domain events without consuming them.

use crate::{DomainEvent, Result, json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;

const LIST_EVENTS: &str =
    "select msg_id, enqueued_at, read_ct, event::text from tasker.list_events($1, $2, $3)";

/// A message of `<namespace>_domain_events`, or of its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueuedEvent {
    /// The number of the message in its queue.
    pub msg_id: i64,
    /// When it was sent.
    pub enqueued_at: DateTime<Utc>,
    /// How often consumers have read it.
    pub read_ct: i32,
    /// A [`DomainEvent`]; anything else only where somebody else has sent it to the queue. Values
    /// nested deeper than JSON readers read are hidden: an object with the key `$hidden` says so.
    #[cfg_attr(feature = "openapi", schema(value_type = DomainEvent))]
    pub event: Value,
}

impl QueuedEvent {
    /// The event; none where the message is not one.
    pub fn domain_event(&self) -> Option<DomainEvent> {
        DomainEvent::deserialize(&self.event).ok()
    }
}

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
