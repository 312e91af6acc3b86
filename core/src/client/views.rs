//! The rows of the views. Each is read as one JSON object, so that a column more in a view, or a
//! wider type, breaks no program.

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

pub(super) const LIST_TASKS: &str = with_duration!("tasker.list_tasks($1, $2, $3) v");
pub(super) const TASK: &str = with_duration!("tasker.task_overview v where v.task_id = $1");

/// A page that its bytes have cut is as short as a last one: whether there is more is looked for.
pub(super) const LIST_STEPS: &str = "with page as materialized (select v.*, row_number() over () \
    as n \
       from tasker.list_steps($1, $2::tasker.step_state[], $3, $4, $5) v) \
     select to_jsonb(p) - 'duration' - 'n', \
       (select count(*) < $5 and exists (select from tasker.list_steps($1, \
       $2::tasker.step_state[], $3, \
               (array_agg(l.step order by l.n desc))[1], 1)) from page l) \
       from page p order by p.n";
pub(super) const SHOW_STEP: &str =
    "select to_jsonb(v) - 'duration' from tasker.show_step($1, $2) v";
pub(super) const LIST_DEAD_LETTERS: &str =
    "select to_jsonb(v) - 'age' from tasker.list_dead_letters($1, $2, $3, $4, $5, $6) v";
pub(super) const STALENESS: &str = "select to_jsonb(v) from tasker.task_staleness v where \
    $1::text is null or v.staleness = $1 \
     order by greatest(v.minutes_in_state / v.threshold_minutes, v.minutes / \
     v.max_duration_minutes) desc, v.task_id limit $2";

/// Steps that are meant by `$rest`, roots first; by number, as `_1000` sorts before `_999`.
/// Documents of those behind the first 16 MiB are hidden: a list of steps has pages, and a step
/// alone shows its own.
macro_rules! steps {
    ($rest:literal) => {
        concat!(
            "select case when sum(octet_length(s.row::text)) over w <= 16777216 then s.row \
               else s.row || coalesce((select jsonb_object_agg(k.name, '{\"$hidden\": \"the graph \
               has more than 16 MiB: look at the step alone\"}'::jsonb) \
                 from unnest('{result,inputs,checkpoint,error}'::text[]) k(name) where s.row -> \
                 k.name <> 'null'), '{}') end \
               from (select to_jsonb(v) - 'duration' as row, v.level, v.position, v.instance, \
               v.step \
                       from tasker.step_overview v where v.task_id = $1",
            $rest,
            ") s window w as (order by s.level, s.position, s.instance nulls first, s.step rows \
             unbounded preceding) \
               order by s.level, s.position, s.instance nulls first, s.step"
        )
    };
}

pub(super) const STEPS: &str = steps!("");
/// Without instances, but for those of the batches $2 and those named $3.
pub(super) const FEW_STEPS: &str =
    steps!(" and (v.instance is null or v.template_step = any ($2) or v.step = any ($3))");
/// The first $2 instances in error of every batch.
pub(super) const FAILED: &str = "select f.step from (select v.step, row_number() over (partition \
    by v.template_step order by v.instance) as n \
     from tasker.step_overview v where v.task_id = $1 and v.instance is not null and v.state = \
     'error') f where f.n <= $2";
pub(super) const DAG: &str =
    "select to_jsonb(v) from tasker.step_dag v where v.task_id = $1 order by v.level, v.step";
/// Without instances, but for those named $2.
pub(super) const FEW_DAG: &str = "select to_jsonb(v) from tasker.step_dag v where v.task_id = $1 \
     and (v.step = v.template_step or v.step = any ($2)) order by v.level, v.step";
pub(super) const BATCHES: &str = "select to_jsonb(v) from tasker.batch_overview v where v.task_id \
    = $1 order by v.created_at, v.step";
pub(super) const TASK_TRANSITIONS: &str =
    "select to_jsonb(v) from tasker.task_audit v where v.task_id = $1 order by v.transition_id";
pub(super) const TRANSITIONS_OF_STEP: &str = "select to_jsonb(v) from tasker.step_audit v \
     where v.task_id = $1 and v.name = $2 order by v.transition_id";
pub(super) const STEP_TRANSITIONS_PAGE: &str = "select v.transition_id, to_jsonb(v) from \
    tasker.step_audit v \
     where v.task_id = $1 and v.transition_id > $2 order by v.transition_id limit $3";
pub(super) const STEP_TRANSITIONS: &str =
    "select to_jsonb(v) from tasker.step_audit v where v.task_id = $1 order by v.transition_id";
pub(super) const TEMPLATES: &str = "select to_jsonb(v) - 'definition' from \
    tasker.template_overview v \
     where $1::text is null or v.namespace = $1 order by v.namespace, v.name, v.created_at desc";
pub(super) const TEMPLATE: &str = "select to_jsonb(v) from tasker.template_overview v \
     where v.namespace = $1 and v.name = $2 and case when $3::text is null then v.current else \
     v.version = $3 end";
pub(super) const QUEUES: &str =
    "select to_jsonb(v) from tasker.queue_overview v order by v.kind, v.queue";
pub(super) const WORKERS: &str =
    "select to_jsonb(v) from tasker.worker_overview v order by v.started_at, v.worker_id";

/// A row of `tasker.task_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Why it stands: a handler that no live worker has, where one of its steps waits for it.
    #[serde(default)]
    pub waiting_for: Option<String>,
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

/// A row of `tasker.template_overview`, without the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Template {
    /// What the list shows.
    #[serde(flatten)]
    pub overview: TemplateOverview,
    /// As it was applied.
    pub definition: Value,
}

/// A row of `tasker.queue_overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueOverview {
    /// Its name.
    pub queue: String,
    /// Of a queue of a worker, or of events.
    pub namespace: Option<String>,
    /// `worker`, `orchestration`, or `events`.
    pub kind: String,
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
