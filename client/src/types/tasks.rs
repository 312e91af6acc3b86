//! Tasks: what to enqueue, which ones to act on, and what is shown of them.

use super::{BatchOverview, DagRow, StepOverview, StepTransition};
use chrono::{DateTime, Utc};
use pgtasker_core::{HowStale, TaskState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::FromRow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A task to enqueue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// An object; the input of the task.
    #[serde(default = "no_context")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub context: Value,
    /// None: the current version (applied or used last).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Higher goes first among steps that are held, in a namespace with a limit or after a pause;
    /// elsewhere it has no effect. 0 is usual.
    #[serde(default)]
    pub priority: i32,
    /// Not before; none: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<DateTime<Utc>>,
    /// The same key with the same content gives the existing task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// None: the task's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// A W3C trace context, handed to every handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Whether to wake an orchestrator at commit; none: as `tasker.settings` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<bool>,
}

fn no_context() -> Value {
    Value::Object(Map::new())
}

impl NewTask {
    /// A task of the template's last version with an empty context.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            context: no_context(),
            version: None,
            priority: 0,
            run_at: None,
            idempotency_key: None,
            correlation_id: None,
            traceparent: None,
            notify: None,
        }
    }

    /// Sets the context.
    pub fn context(mut self, context: Value) -> Self {
        self.context = context;
        self
    }
}

/// Which tasks [`crate::calls::retry_tasks`] and
/// [`crate::calls::cancel_tasks`] take: those to which all that is set applies.
/// At least something must be. For [`crate::calls::list_tasks`] nothing need be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskSelection {
    /// In this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// With this template name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// With this version of their template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// In one of these states; an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<TaskState>>,
    /// One of these; an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_ids: Option<Vec<Uuid>>,
    /// Only those of one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// Enqueued then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// Enqueued before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_before: Option<DateTime<Utc>>,
    /// With an error of this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// With this idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// With an id that begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
}

/// A task in one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskStatus {
    /// The task.
    pub task_id: Uuid,
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// The template's version.
    pub version: String,
    /// Where it stands.
    pub state: TaskState,
    /// How many steps are in each state; states without steps are left out.
    pub steps: BTreeMap<String, u64>,
    /// Why it failed.
    pub error: Option<Value>,
    /// What else the engine says: times, the correlation id.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl TaskStatus {
    /// Whether it moves no more by itself: finished, or blocked by failures until an operator
    /// helps.
    pub fn is_settled(&self) -> bool {
        self.state.is_terminal() || self.state == TaskState::BlockedByFailures
    }

    /// Whether it ended well: complete, or resolved by an operator.
    pub fn succeeded(&self) -> bool {
        matches!(self.state, TaskState::Complete | TaskState::ResolvedManually)
    }
}

/// A row of `tasker.task_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskOverview {
    /// The task.
    pub task_id: Uuid,
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// The template's version.
    pub version: String,
    /// Where it stands.
    pub state: TaskState,
    /// Higher goes first among what waits in tables.
    pub priority: i32,
    /// Steps it has.
    pub steps: i64,
    /// Steps not yet satisfied.
    pub remaining: i64,
    /// Steps enqueued, running, or with a result to process.
    pub active: i64,
    /// Ready steps that are held back.
    pub held: i64,
    /// Steps that wait for their backoff.
    pub waiting_retry: i64,
    /// Steps in error.
    pub failed: i64,
    /// Why it failed.
    pub error: Option<Value>,
    /// Shared by all that belongs to one request.
    pub correlation_id: Option<Uuid>,
    /// The key that makes a second enqueue find this task.
    pub idempotency_key: Option<String>,
    /// Not before.
    pub run_at: Option<DateTime<Utc>>,
    /// Enqueued.
    pub created_at: DateTime<Utc>,
    /// Seen by an orchestrator.
    pub started_at: Option<DateTime<Utc>>,
    /// Finished.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds since it was enqueued, until it finished.
    pub duration_ms: Option<f64>,
    /// Why it stands: a handler that no live worker has, where one of its steps waits for it.
    #[serde(default)]
    pub waiting_for: Option<String>,
}

/// Which instances of batches [`crate::calls::task_graph`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// All.
    All,
    /// All of a batch up to this size; of a larger one, as many of the first in error.
    Few(u32),
}

/// The graph of a task: steps, dependencies, and batches, all roots first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskGraph {
    /// The steps that exist, and the instances asked for.
    pub steps: Vec<StepOverview>,
    /// Those steps and the steps that do not exist, with their dependencies; of every batch one
    /// instance at least.
    pub dag: Vec<DagRow>,
    /// Every batch, with its progress.
    pub batches: Vec<BatchOverview>,
}

/// A row of `tasker.task_transitions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskTransition {
    /// From.
    pub from_state: TaskState,
    /// To.
    pub to_state: TaskState,
    /// The process that did it.
    pub actor_id: Option<Uuid>,
    /// In words, where something was to say.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The audit of a task and of its steps, both oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transitions {
    /// The task's transitions.
    pub task: Vec<TaskTransition>,
    /// Its steps' transitions.
    pub steps: Vec<StepTransition>,
}

/// A page of the audit of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransitionsPage {
    /// The task's transitions: all, on the first page.
    pub task: Vec<TaskTransition>,
    /// Its steps' transitions, oldest first.
    pub steps: Vec<StepTransition>,
    /// Where the next page begins; none: there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// All there is to know about a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskDetails {
    /// The task.
    pub task: TaskOverview,
    /// Its steps, roots first.
    pub steps: Vec<StepOverview>,
    /// Its graph, roots first, with the steps that do not exist.
    pub dag: Vec<DagRow>,
    /// Its batches.
    pub batches: Vec<BatchOverview>,
    /// Its audit, oldest first.
    pub task_transitions: Vec<TaskTransition>,
    /// The audit of its steps, oldest first.
    pub step_transitions: Vec<StepTransition>,
}

/// A row of `tasker.task_staleness`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Staleness {
    /// The unfinished task.
    pub task_id: Uuid,
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// Minutes since it last moved.
    pub minutes_in_state: f64,
    /// When that is too long; none: never in this state.
    pub threshold_minutes: Option<f64>,
    /// Minutes since it began.
    pub minutes: f64,
    /// When that is too long.
    pub max_duration_minutes: f64,
    /// `healthy`, `warning` from 80 % of either, or `stale`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub staleness: HowStale,
}
