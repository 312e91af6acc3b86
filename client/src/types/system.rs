//! Queues, workers, the settings of the engine, retention, and whether Tasker can be used.

use chrono::{DateTime, Utc};
use pgtasker_core::QueueKind;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

/// A row of `tasker.queue_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueOverview {
    /// Its name.
    pub queue: String,
    /// For queues of workers and of events.
    pub namespace: Option<String>,
    /// What it is for.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: QueueKind,
    /// Messages in it.
    pub depth: i64,
    /// Messages nobody has claimed.
    pub visible: i64,
    /// Seconds; none when it is empty.
    pub oldest_age_seconds: Option<f64>,
    /// Messages sent so far.
    pub total: i64,
    /// Steps that wait beside the queue, as some live worker lacks their handler.
    #[serde(default)]
    pub parked: i64,
    /// Ready steps that wait for the namespace to be resumed or for room in the queue.
    pub held: i64,
    /// How many steps may wait in the queue; none: any number.
    pub max_depth: Option<i32>,
    /// Since when the namespace is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who paused it, and why.
    pub pause_reason: Option<String>,
}

/// A row of `tasker.worker_overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerOverview {
    /// The worker process.
    pub worker_id: Uuid,
    /// Whose steps it runs.
    pub namespaces: Vec<String>,
    /// What it can run.
    pub handlers: Vec<String>,
    /// Where it runs.
    pub host: Option<String>,
    /// Its process id there.
    pub pid: Option<i64>,
    /// Tasker's version.
    pub version: Option<String>,
    /// Steps it runs at most at once.
    pub concurrency: Option<i64>,
    /// Steps it runs now.
    pub in_flight: Option<i64>,
    /// Its first heartbeat.
    pub started_at: DateTime<Utc>,
    /// Its last heartbeat.
    pub last_seen: DateTime<Utc>,
    /// Heard of within 30 seconds.
    pub alive: bool,
}

/// A setting of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EngineSetting {
    /// Its name.
    pub name: String,
    /// As text; none: no limit.
    pub value: Option<String>,
    /// As text.
    pub default_value: Option<String>,
    /// The type that PostgreSQL has for it.
    pub r#type: String,
    /// What it does.
    pub description: Option<String>,
}

/// What one call of [`crate::calls::prune`] removed.
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

/// Whether Tasker can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerHealth {
    /// Whether the database answers and has the schema that this program works with.
    pub healthy: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of the program that answers.
    pub version: String,
    /// The version of the database schema, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}
