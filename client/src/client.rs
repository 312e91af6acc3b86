//! The calls as one trait, over a database or over HTTP.

use crate::{Result, types::*};
use async_trait::async_trait;
use pgtasker_core::{
    DeadLetterStatus, HowStale,
    template::{Applied, Report},
};
use serde_json::Value;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What can be asked of Tasker. Every call is one request, and may be tried again when its error
/// [is transient](crate::Error::is_transient): a second `enqueue_task` with the same idempotency
/// key finds the first one's task.
///
/// # Errors
/// Each gives [`crate::Error::Refused`] with the code of docs/sql-api.md that its SQL function
/// raises, and what goes wrong on the way there.
#[async_trait]
pub trait Client: std::fmt::Debug + Send + Sync {
    /// Whether Tasker can be used; unreachable is an error.
    async fn health(&self) -> Result<ServerHealth>;

    /// Enqueues a task and returns its id.
    async fn enqueue_task(&self, task: &NewTask) -> Result<Uuid>;
    /// The newest tasks first.
    async fn list_tasks(&self, which: &TaskSelection, page: &Page) -> Result<Listed<TaskOverview>>;
    /// A task without its steps.
    async fn show_task(&self, task_id: Uuid) -> Result<TaskOverview>;
    /// A task in short, with its steps counted by state.
    async fn task_status(&self, task_id: Uuid) -> Result<TaskStatus>;
    /// The results of the leaf steps by name; none until the task is complete.
    async fn task_result(&self, task_id: Uuid) -> Result<Option<Value>>;
    /// Its input, as it was enqueued.
    async fn task_context(&self, task_id: Uuid) -> Result<Value>;
    /// Its steps, its graph, and its batches.
    async fn task_graph(&self, task_id: Uuid, instances: Instances) -> Result<TaskGraph>;
    /// The audit of a task and its steps.
    async fn task_transitions(&self, task_id: Uuid) -> Result<Transitions>;
    /// Its batches with their progress.
    async fn list_batches(&self, task_id: Uuid) -> Result<Vec<BatchOverview>>;
    /// Cancels a task; false when it had already finished.
    async fn cancel_task(&self, task_id: Uuid, by: By<'_>) -> Result<bool>;
    /// Ends an unfinished task as resolved; false when it had already finished.
    async fn resolve_task(&self, task_id: Uuid, result: Option<&Value>, by: By<'_>)
    -> Result<bool>;
    /// Lets a task in error begin again; false when it has not finished.
    async fn reset_task(&self, task_id: Uuid, by: By<'_>) -> Result<bool>;
    /// Lets up to `max` selected tasks go on that failed; how many.
    async fn retry_tasks(&self, which: &TaskSelection, by: By<'_>, max: i32) -> Result<i32>;
    /// Cancels up to `max` selected tasks; how many.
    async fn cancel_tasks(&self, which: &TaskSelection, by: By<'_>, max: i32) -> Result<i32>;
    /// How many tasks are selected.
    async fn count_tasks(&self, which: &TaskSelection) -> Result<i64>;

    /// The steps of a task, roots first.
    async fn list_steps(
        &self,
        task_id: Uuid,
        filter: &StepFilter,
        page: &Page,
    ) -> Result<Listed<StepOverview>>;
    /// One step.
    async fn show_step(&self, task_id: Uuid, step: &str) -> Result<StepOverview>;
    /// The audit of one step.
    async fn step_transitions(&self, task_id: Uuid, step: &str) -> Result<Vec<StepTransition>>;
    /// Runs a step in error again; false when it waits or runs already.
    async fn retry_step(&self, task_id: Uuid, step: &str, by: By<'_>) -> Result<bool>;
    /// Settles a step by hand, a decision or batchable with its outcome; false when it is settled
    /// already.
    async fn resolve_step(
        &self,
        task_id: Uuid,
        step: &str,
        result: Option<&Value>,
        outcome: Option<&Value>,
        by: By<'_>,
    ) -> Result<bool>;

    /// Every version of every template.
    async fn list_templates(&self, namespace: Option<&str>) -> Result<Vec<TemplateOverview>>;
    /// A template with its definition; none: it does not exist. No version: the current one
    /// (applied or used last).
    async fn show_template(
        &self,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Template>>;
    /// What is wrong with a definition.
    async fn validate_template(&self, definition: &Value) -> Result<Report>;
    /// Applies a definition.
    async fn apply_template(&self, definition: &Value, by: By<'_>) -> Result<Applied>;
    /// Makes a version that has been applied the one that runs where an enqueue names none.
    async fn use_template(
        &self,
        namespace: &str,
        name: &str,
        version: &str,
        by: By<'_>,
    ) -> Result<Applied>;

    /// Every queue.
    async fn list_queues(&self) -> Result<Vec<QueueOverview>>;
    /// Every namespace, by name.
    async fn list_namespaces(&self) -> Result<Vec<String>>;
    /// Sends no more steps to a namespace; false: it was paused already.
    async fn pause_namespace(&self, namespace: &str, by: By<'_>) -> Result<bool>;
    /// Ends a pause; false: it was not paused.
    async fn resume_namespace(&self, namespace: &str, by: By<'_>) -> Result<bool>;
    /// Limits how many steps may wait in a namespace's queue; none: no limit.
    async fn limit_namespace(
        &self,
        namespace: &str,
        max_depth: Option<i32>,
        by: By<'_>,
    ) -> Result<()>;
    /// Up to `limit` (from 1 to 1,000) domain events of a namespace in the order of their messages:
    /// those after the message `after`, none: the newest. Nothing is consumed; what a consumer has
    /// deleted is not there.
    async fn list_events(
        &self,
        namespace: &str,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<QueuedEvent>>;
    /// Every worker that has not said goodbye.
    async fn list_workers(&self) -> Result<Vec<WorkerOverview>>;

    /// Dead letters in the order to look at them.
    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &Page,
    ) -> Result<Listed<DeadLetter>>;
    /// A dead letter with its snapshot or message.
    async fn show_dead_letter(&self, entry_id: Uuid) -> Result<DeadLetterDetails>;
    /// Dead letters by reason and status.
    async fn dead_letter_counts(&self) -> Result<Vec<DeadLetterCount>>;
    /// Puts a task among them; the entry.
    async fn add_dead_letter(&self, task_id: Uuid, notes: Option<&str>, by: By<'_>)
    -> Result<Uuid>;
    /// Sets the status (none: as it is) and adds to the notes.
    async fn update_dead_letter(
        &self,
        entry_id: Uuid,
        status: Option<&DeadLetterStatus>,
        notes: Option<&str>,
        by: By<'_>,
    ) -> Result<()>;
    /// Replays what failed, or sends the message again, and closes the entry.
    async fn retry_dead_letter(&self, entry_id: Uuid, by: By<'_>) -> Result<()>;
    /// How many dead letters are selected.
    async fn count_dead_letters(&self, which: &DeadLetterSelection) -> Result<i64>;
    /// As [`Client::retry_dead_letter`], for up to `max` selected ones after `after`.
    async fn retry_dead_letters(
        &self,
        which: &DeadLetterSelection,
        by: By<'_>,
        max: i32,
        after: Option<Uuid>,
    ) -> Result<DeadLettersChanged>;
    /// As [`Client::update_dead_letter`], for up to `max` selected ones after `after`; the reason
    /// of `by` is the note.
    async fn update_dead_letters(
        &self,
        which: &DeadLetterSelection,
        status: Option<&DeadLetterStatus>,
        by: By<'_>,
        max: i32,
        after: Option<Uuid>,
    ) -> Result<DeadLettersChanged>;
    /// The settings of the engine, by name.
    async fn list_settings(&self) -> Result<Vec<EngineSetting>>;
    /// Changes a setting of the engine.
    async fn set_setting(&self, name: &str, value: &str, by: By<'_>) -> Result<()>;
    /// Removes one batch of what is older than its retention.
    async fn prune(&self, max: i32, by: By<'_>) -> Result<Pruned>;

    /// Unfinished tasks, the stalest first; with `staleness` only those.
    async fn list_staleness(
        &self,
        staleness: Option<&HowStale>,
        limit: u32,
    ) -> Result<Vec<Staleness>>;
    /// Steps by what their handlers took.
    async fn slowest_steps(&self, sample: &Sample, limit: u32) -> Result<Vec<SlowStep>>;
    /// Tasks enqueued and ended by time.
    async fn throughput(&self, sample: &Sample, bucket: Duration) -> Result<Vec<Throughput>>;
    /// Templates by the share of their tasks that failed.
    async fn failure_rates(&self, sample: &Sample, limit: u32) -> Result<Vec<FailureRate>>;

    /// Waits until a task has settled or `timeout` is over, and returns its status then: look at
    /// [`TaskStatus::is_settled`]. What is away for a moment is waited for.
    async fn wait(&self, task_id: Uuid, timeout: Duration) -> Result<TaskStatus> {
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(5);
        loop {
            let status = self.task_status(task_id).await;
            let left = deadline.saturating_duration_since(Instant::now());
            match status {
                Ok(status) if status.is_settled() || left.is_zero() => return Ok(status),
                Err(error) if !error.is_transient() || left.is_zero() => return Err(error),
                _ => tokio::time::sleep(pause.min(left)).await,
            }
            pause = (pause * 5 / 4).min(Duration::from_millis(200));
        }
    }
}
