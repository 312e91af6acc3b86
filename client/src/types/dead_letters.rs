//! Dead letters: what people have to look at.

use chrono::{DateTime, Utc};
use pgtasker_core::{DeadLetterReason, DeadLetterStatus, TaskState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A row of `tasker.dead_letter_overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// The entry.
    pub entry_id: Uuid,
    /// Why it is one.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub reason: DeadLetterReason,
    /// Where it stands.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: DeadLetterStatus,
    /// The reason's priority; 1 is looked at first.
    pub priority: i32,
    /// What it is about; none: a message that names no task.
    pub task_id: Option<Uuid>,
    /// The task's namespace.
    pub namespace: Option<String>,
    /// The template's name.
    pub name: Option<String>,
    /// The step that made it.
    pub step: Option<String>,
    /// Where the task stands now.
    pub task_state: Option<TaskState>,
    /// The message's queue.
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
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub reason: DeadLetterReason,
    /// As in [`DeadLetter`].
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: DeadLetterStatus,
    /// How many.
    pub entries: i64,
    /// The oldest of them.
    pub oldest: DateTime<Utc>,
}

/// Which dead letters to list; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only for this reason.
    pub reason: Option<DeadLetterReason>,
    /// Only with this status.
    pub status: Option<DeadLetterStatus>,
    /// Only of this task.
    pub task_id: Option<Uuid>,
    /// Only with an id that begins so.
    pub id_prefix: Option<String>,
}

/// Which dead letters [`crate::calls::retry_dead_letters`] and
/// [`crate::calls::update_dead_letters`] take: those to which all
/// that is set applies. At least something must be. Without a status: the pending ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeadLetterSelection {
    /// For this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub reason: Option<DeadLetterReason>,
    /// With this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub status: Option<DeadLetterStatus>,
    /// Only those of tasks in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only those of tasks with this template name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// From this step.
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
