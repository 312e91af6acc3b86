//! The rows of the views. Each is read as one JSON object, so that a column more in a view, or a wider
//! type, breaks no program.

use crate::{StepState, TaskState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// `duration` as milliseconds: the text of an interval depends on the session.
macro_rules! with_duration {
    ($rest:literal) => {
        concat!(
            "select to_jsonb(v) - 'duration' || jsonb_build_object('duration_ms', ",
            "(extract(epoch from v.duration) * 1000)::float8) from ",
            $rest
        )
    };
}

pub(super) const LIST_TASKS: &str = with_duration!(
    "tasker.task_overview v where ($1::text is null or v.namespace = $1) and ($2::text is null or v.name = $2) \
     and ($3::text is null or v.state::text = $3) order by v.task_id desc limit $4"
);
pub(super) const TASK: &str = with_duration!("tasker.task_overview v where v.task_id = $1");
pub(super) const STEPS: &str = "select to_jsonb(v) - 'duration' from tasker.step_overview v \
     where v.task_id = $1 order by v.level, v.position, v.step";
pub(super) const DAG: &str =
    "select to_jsonb(v) from tasker.step_dag v where v.task_id = $1 order by v.level, v.step";
pub(super) const TASK_TRANSITIONS: &str =
    "select to_jsonb(v) from tasker.task_transitions v where v.task_id = $1 order by v.transition_id";
pub(super) const STEP_TRANSITIONS: &str =
    "select to_jsonb(v) from tasker.step_transitions v where v.task_id = $1 order by v.transition_id";
pub(super) const TEMPLATES: &str = "select to_jsonb(v) - 'definition' from tasker.template_overview v \
     where $1::text is null or v.namespace = $1 order by v.namespace, v.name, v.created_at desc";
pub(super) const TEMPLATE: &str = "select to_jsonb(v) from tasker.template_overview v \
     where v.namespace = $1 and v.name = $2 and case when $3::text is null then v.current else v.version = $3 end";
pub(super) const QUEUES: &str = "select to_jsonb(v) from tasker.queue_overview v order by v.kind, v.queue";
pub(super) const WORKERS: &str =
    "select to_jsonb(v) from tasker.worker_overview v order by v.started_at, v.worker_id";

/// A row of `tasker.task_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskOverview {
    /// The task.
    pub task_id: Uuid,
    /// Of its template.
    pub namespace: String,
    /// Of its template.
    pub name: String,
    /// Of its template.
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
}

/// A row of `tasker.step_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOverview {
    /// Its task.
    pub task_id: Uuid,
    /// Its name in the task.
    pub step: String,
    /// The step of the template it is an instance of.
    pub template_step: String,
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
}

/// A row of `tasker.step_dag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagRow {
    /// Its task.
    pub task_id: Uuid,
    /// Its name in the task.
    pub step: String,
    /// Where it stands.
    pub state: StepState,
    /// What it depends on.
    pub parents: Vec<String>,
    /// What depends on it.
    pub children: Vec<String>,
    /// The longest path from a root; roots are 0.
    pub level: i32,
}

/// A row of `tasker.task_transitions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A row of `tasker.step_transitions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// All there is to know about a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDetails {
    /// The task.
    pub task: TaskOverview,
    /// Its steps, roots first.
    pub steps: Vec<StepOverview>,
    /// Its graph, roots first.
    pub dag: Vec<DagRow>,
    /// Its audit, oldest first.
    pub task_transitions: Vec<TaskTransition>,
    /// The audit of its steps, oldest first.
    pub step_transitions: Vec<StepTransition>,
}

/// A row of `tasker.template_overview`, without the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateOverview {
    /// The template.
    pub template_id: Uuid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Steps it has.
    pub steps: i64,
    /// The version that a task without one gets.
    pub current: bool,
    /// First applied.
    pub created_at: DateTime<Utc>,
}

/// A template with its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// What the list shows.
    #[serde(flatten)]
    pub overview: TemplateOverview,
    /// As it was applied.
    pub definition: Value,
}

/// A row of `tasker.queue_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueOverview {
    /// Its name.
    pub queue: String,
    /// Of a worker's queue.
    pub namespace: Option<String>,
    /// `worker` or `orchestration`.
    pub kind: String,
    /// Messages in it.
    pub depth: i64,
    /// Messages nobody has claimed.
    pub visible: i64,
    /// Seconds; none when it is empty.
    pub oldest_age_seconds: Option<f64>,
    /// Messages sent so far.
    pub total: i64,
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
    /// Of Tasker.
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
