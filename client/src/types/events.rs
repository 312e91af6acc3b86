//! Domain events as they lie in their queue.

use chrono::{DateTime, Utc};
use pgtasker_core::DomainEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
