//! The steps of a task. Rows of views are read as one JSON object each, so that a column more in a
//! view, or a wider type, breaks no program.

use chrono::{DateTime, Utc};
use pgtasker_core::StepState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Which steps of a task to list; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepFilter {
    /// In one of these states; empty: in any.
    pub states: Vec<StepState>,
    /// Only instances of this step of the template.
    pub template_step: Option<String>,
}

/// A row of `tasker.step_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepOverview {
    /// Its task.
    pub task_id: Uuid,
    /// Its name in the task.
    pub step: String,
    /// The step of the template it is an instance of.
    pub template_step: String,
    /// What it may decide, and when it exists.
    #[serde(rename = "type", default)]
    pub step_type: StepType,
    /// Its number among the instances of a batch, from 1; none for other steps.
    #[serde(default)]
    pub instance: Option<i32>,
    /// The cursor of an instance.
    #[serde(default)]
    pub inputs: Option<Value>,
    /// What it saved last: `{"cursor", "items_processed", "accumulated"}`.
    #[serde(default)]
    pub checkpoint: Option<Value>,
    /// The code it runs.
    pub handler: String,
    /// Where it stands.
    pub state: StepState,
    /// Executions so far that count against `max_attempts`.
    pub attempt: i32,
    /// How many executions it may have.
    pub max_attempts: i32,
    /// The fence of its last claim.
    pub claim_no: i64,
    /// Parents not yet satisfied.
    pub waiting_on: i64,
    /// Not before; set while it is ready and not in a queue.
    pub available_at: Option<DateTime<Utc>>,
    /// Why its last attempt failed.
    pub error: Option<Value>,
    /// What it gave.
    pub result: Option<Value>,
    /// The worker of its last claim.
    pub worker_id: Option<Uuid>,
    /// Sent to its queue.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// Claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// Finished.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds its handler took in the last attempt, as the worker measured it.
    pub duration_ms: Option<f64>,
    /// Why it waits in its queue, where no live worker has its handler.
    #[serde(default)]
    pub waiting_for: Option<String>,
}

impl StepOverview {
    /// Items that its checkpoint counts as processed; none where it has saved none.
    pub fn items_processed(&self) -> Option<i64> {
        self.checkpoint.as_ref()?.get("items_processed")?.as_i64()
    }
}

/// What a step may decide, and when it exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepType {
    /// Exists where all its parents do.
    #[default]
    Standard,
    /// Names which of its children exist.
    Decision,
    /// Exists where one of its parents does, and waits for those that exist.
    Deferred,
    /// Gives the cursors of a batch.
    Batchable,
    /// Has an instance for each cursor.
    BatchWorker,
}

/// Whether a step of the template exists in a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It does.
    #[default]
    Exists,
    /// A decision or a batchable above it has still to say.
    Undecided,
    /// It does not and never will.
    NotChosen,
}

/// A row of `tasker.step_dag`: a step, or one of the template that does not exist in the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DagRow {
    /// Its task.
    pub task_id: Uuid,
    /// Its name in the task.
    pub step: String,
    /// The step of the template: another name for an instance of a batch only.
    pub template_step: String,
    /// What it may decide, and when it exists.
    #[serde(rename = "type", default)]
    pub step_type: StepType,
    /// Whether it exists.
    #[serde(default)]
    pub presence: Presence,
    /// Where it stands; none where it does not exist.
    #[serde(default)]
    pub state: Option<StepState>,
    /// What it depends on, by the names of the template.
    pub parents: Vec<String>,
    /// What depends on it, by the names of the template.
    pub children: Vec<String>,
    /// The longest path from a root; roots are 0.
    pub level: i32,
}

/// A row of `tasker.batch_overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchOverview {
    /// Its task.
    pub task_id: Uuid,
    /// The step of the template that has the instances.
    pub step: String,
    /// The step that gave the cursors.
    pub batchable: String,
    /// `fail_fast` or `continue_on_failure`.
    pub failure_strategy: String,
    /// How many there are.
    pub instances: i64,
    /// Done, or resolved by an operator.
    pub complete: i64,
    /// In error.
    pub failed: i64,
    /// Stopped.
    pub cancelled: i64,
    /// Claimed.
    pub running: i64,
    /// Not yet claimed, waiting for a retry, or with a result to process.
    pub waiting: i64,
    /// Items that are processed, by complete instances and by checkpoints.
    pub items_done: i64,
    /// Items of all cursors.
    pub items_total: i64,
    /// When its batchable ended, which is when the instances came into being.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When the last of them was settled.
    #[serde(default)]
    pub completed_at: Option<DateTime<Utc>>,
}

/// A row of `tasker.step_transitions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepTransition {
    /// The step.
    pub name: String,
    /// From.
    pub from_state: StepState,
    /// To.
    pub to_state: StepState,
    /// The attempt it was in.
    pub attempt: i32,
    /// The process that did it.
    pub actor_id: Option<Uuid>,
    /// In words, where something was to say.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}
