//! A domain event: what a step announces to other systems, in the one JSON form of queues and
//! subscribers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A message of `<namespace>_domain_events`, and what subscribers in the worker's process get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DomainEvent {
    /// The key by which consumers know an event that they get again.
    pub id: Uuid,
    /// Such as `payment.processed`.
    pub name: String,
    /// The version of its form, as the template declares.
    pub version: String,
    /// The task's namespace.
    pub namespace: String,
    /// The name of the task's template.
    pub template: String,
    /// The task.
    pub task_id: Uuid,
    /// The step that announces it.
    pub step: String,
    /// The claim of the step whose result was accepted with it.
    pub claim_no: i32,
    /// The caller's id for everything that belongs together.
    pub correlation_id: Option<Uuid>,
    /// The W3C trace context of the handler, else of the task.
    pub traceparent: Option<String>,
    /// When the result was accepted, by the database's clock; for subscribers in the worker's
    /// process, by the worker's.
    pub time: DateTime<Utc>,
    /// What is announced.
    pub payload: Value,
    /// What the publisher added; null: nothing.
    #[serde(default)]
    pub metadata: Value,
}
