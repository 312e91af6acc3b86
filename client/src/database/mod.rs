//! Tasker over a connection to its database: each call is one of the SQL API.

use crate::{Applied, Client, Report, Result, calls, types::*};
use async_trait::async_trait;
use pgtasker_core::{DeadLetterStatus, HowStale, pooler::Limited, schema, session::Session};
use serde_json::Value;
use sqlx::PgPool;
use std::time::Duration;
use uuid::Uuid;

/// A [`Client`] of a database. Rights are those of the role that the pool is logged in as.
#[derive(Debug, Clone)]
pub struct DatabaseClient {
    pool: PgPool,
    session: Session,
}

impl DatabaseClient {
    /// On a pool, see [`pgtasker_core::db::connect`].
    pub fn new(pool: PgPool) -> Self {
        Self { pool, session: Session::default() }
    }

    /// With these limits to each statement.
    pub fn session(mut self, session: Session) -> Self {
        self.session = session;
        self
    }

    /// To run statements on, one by one.
    pub fn executor(&self) -> Limited<'_> {
        self.db()
    }

    /// The pool.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

impl DatabaseClient {
    /// A page of the audit of a task: up to `limit` transitions of its steps after the one numbered
    /// `after`.
    ///
    /// # Errors
    /// `TK004` when there is no such task.
    pub async fn task_transitions_page(
        &self,
        task_id: Uuid,
        after: Option<i64>,
        limit: u32,
    ) -> Result<TransitionsPage> {
        calls::task_status(self.db(), task_id).await?;
        let (task, steps, next) =
            calls::task_transitions_page(self.db(), task_id, after, limit).await?;
        Ok(TransitionsPage { task, steps, next: next.map(|id| id.to_string()) })
    }

    /// Behind a pooler too: what people ask for is not worth a mode of its own.
    fn db(&self) -> Limited<'_> {
        Limited { pool: &self.pool, session: self.session }
    }
}

#[async_trait]
impl Client for DatabaseClient {
    async fn health(&self) -> Result<ServerHealth> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let reason = match schema::check(&self.pool).await {
            Ok(()) => None,
            Err(pgtasker_core::Error::Schema(reason)) => Some(reason),
            Err(error) => return Err(error.into()),
        };
        let schema = reason.is_none().then(|| schema::version().to_string());
        Ok(ServerHealth { healthy: reason.is_none(), reason, version, schema })
    }

    async fn task_transitions(&self, task_id: Uuid) -> Result<Transitions> {
        // The audit of a task that is not there would be empty.
        calls::task_status(self.db(), task_id).await?;
        let (task, steps) = calls::task_transitions(self.db(), task_id).await?;
        Ok(Transitions { task, steps })
    }

    async fn validate_template(&self, definition: &Value) -> Result<Report> {
        Ok(calls::validate_template(self.db(), definition).await?)
    }

    async fn apply_template(&self, definition: &Value, by: By<'_>) -> Result<Applied> {
        Ok(calls::apply_template(self.db(), definition, by).await?)
    }

    async fn use_template(
        &self,
        namespace: &str,
        name: &str,
        version: &str,
        by: By<'_>,
    ) -> Result<Applied> {
        Ok(calls::use_template(self.db(), namespace, name, version, by).await?)
    }

    async fn pause_namespace(&self, namespace: &str, by: By<'_>) -> Result<bool> {
        Ok(calls::pause_namespace(self.db(), namespace, by).await?)
    }

    async fn add_dead_letter(
        &self,
        task_id: Uuid,
        notes: Option<&str>,
        by: By<'_>,
    ) -> Result<Uuid> {
        Ok(calls::add_dead_letter(self.db(), task_id, notes, by).await?)
    }

    async fn update_dead_letter(
        &self,
        entry_id: Uuid,
        status: Option<&DeadLetterStatus>,
        notes: Option<&str>,
        by: By<'_>,
    ) -> Result<()> {
        Ok(calls::update_dead_letter(self.db(), entry_id, status, notes, by).await?)
    }

    async fn retry_dead_letter(&self, entry_id: Uuid, by: By<'_>) -> Result<()> {
        Ok(calls::retry_dead_letter(self.db(), entry_id, by).await?)
    }

    async fn enqueue_task(&self, task: &NewTask) -> Result<Uuid> {
        Ok(calls::enqueue_task(self.db(), task).await?)
    }

    async fn list_tasks(&self, which: &TaskSelection, page: &Page) -> Result<Listed<TaskOverview>> {
        Ok(calls::list_tasks(self.db(), which, page).await?)
    }

    async fn show_task(&self, task_id: Uuid) -> Result<TaskOverview> {
        Ok(calls::show_task(self.db(), task_id).await?)
    }

    async fn task_status(&self, task_id: Uuid) -> Result<TaskStatus> {
        Ok(calls::task_status(self.db(), task_id).await?)
    }

    async fn task_result(&self, task_id: Uuid) -> Result<Option<Value>> {
        Ok(calls::task_result(self.db(), task_id).await?)
    }

    async fn task_context(&self, task_id: Uuid) -> Result<Value> {
        Ok(calls::task_context(self.db(), task_id).await?)
    }

    async fn count_dead_letters(&self, which: &DeadLetterSelection) -> Result<i64> {
        Ok(calls::count_dead_letters(self.db(), which).await?)
    }

    async fn retry_dead_letters(
        &self,
        which: &DeadLetterSelection,
        by: By<'_>,
        max: i32,
        after: Option<Uuid>,
    ) -> Result<DeadLettersChanged> {
        Ok(calls::retry_dead_letters(self.db(), which, by, max, after).await?)
    }

    async fn update_dead_letters(
        &self,
        which: &DeadLetterSelection,
        status: Option<&DeadLetterStatus>,
        by: By<'_>,
        max: i32,
        after: Option<Uuid>,
    ) -> Result<DeadLettersChanged> {
        Ok(calls::update_dead_letters(self.db(), which, status, by, max, after).await?)
    }

    async fn list_settings(&self) -> Result<Vec<EngineSetting>> {
        Ok(calls::list_settings(self.db()).await?)
    }

    async fn set_setting(&self, name: &str, value: &str, by: By<'_>) -> Result<()> {
        Ok(calls::set_setting(self.db(), name, value, by).await?)
    }

    async fn task_graph(&self, task_id: Uuid, instances: Instances) -> Result<TaskGraph> {
        let graph = calls::task_graph(self.db(), task_id, instances).await?;
        if graph.dag.is_empty() {
            calls::task_status(self.db(), task_id).await?;
        }
        Ok(graph)
    }

    async fn list_batches(&self, task_id: Uuid) -> Result<Vec<BatchOverview>> {
        let batches = calls::list_batches(self.db(), task_id).await?;
        if batches.is_empty() {
            calls::task_status(self.db(), task_id).await?;
        }
        Ok(batches)
    }

    async fn cancel_task(&self, task_id: Uuid, by: By<'_>) -> Result<bool> {
        Ok(calls::cancel_task(self.db(), task_id, by).await?)
    }

    async fn resolve_task(
        &self,
        task_id: Uuid,
        result: Option<&Value>,
        by: By<'_>,
    ) -> Result<bool> {
        Ok(calls::resolve_task(self.db(), task_id, result, by).await?)
    }

    async fn reset_task(&self, task_id: Uuid, by: By<'_>) -> Result<bool> {
        Ok(calls::reset_task(self.db(), task_id, by).await?)
    }

    async fn retry_tasks(&self, which: &TaskSelection, by: By<'_>, max: i32) -> Result<i32> {
        Ok(calls::retry_tasks(self.db(), which, by, max).await?)
    }

    async fn cancel_tasks(&self, which: &TaskSelection, by: By<'_>, max: i32) -> Result<i32> {
        Ok(calls::cancel_tasks(self.db(), which, by, max).await?)
    }

    async fn count_tasks(&self, which: &TaskSelection) -> Result<i64> {
        Ok(calls::count_tasks(self.db(), which).await?)
    }

    async fn list_steps(
        &self,
        task_id: Uuid,
        filter: &StepFilter,
        page: &Page,
    ) -> Result<Listed<StepOverview>> {
        Ok(calls::list_steps(self.db(), task_id, filter, page).await?)
    }

    async fn show_step(&self, task_id: Uuid, step: &str) -> Result<StepOverview> {
        Ok(calls::show_step(self.db(), task_id, step).await?)
    }

    async fn step_transitions(&self, task_id: Uuid, step: &str) -> Result<Vec<StepTransition>> {
        let transitions = calls::step_transitions(self.db(), task_id, step).await?;
        if transitions.is_empty() {
            calls::show_step(self.db(), task_id, step).await?;
        }
        Ok(transitions)
    }

    async fn retry_step(&self, task_id: Uuid, step: &str, by: By<'_>) -> Result<bool> {
        Ok(calls::retry_step(self.db(), task_id, step, by).await?)
    }

    async fn resolve_step(
        &self,
        task_id: Uuid,
        step: &str,
        result: Option<&Value>,
        outcome: Option<&Value>,
        by: By<'_>,
    ) -> Result<bool> {
        Ok(calls::resolve_step(self.db(), task_id, step, result, outcome, by).await?)
    }

    async fn list_templates(&self, namespace: Option<&str>) -> Result<Vec<TemplateOverview>> {
        Ok(calls::list_templates(self.db(), namespace).await?)
    }

    async fn show_template(
        &self,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Template>> {
        Ok(calls::show_template(self.db(), namespace, name, version).await?)
    }

    async fn list_queues(&self) -> Result<Vec<QueueOverview>> {
        Ok(calls::list_queues(self.db()).await?)
    }

    async fn list_namespaces(&self) -> Result<Vec<String>> {
        Ok(calls::list_namespaces(self.db()).await?)
    }

    async fn resume_namespace(&self, namespace: &str, by: By<'_>) -> Result<bool> {
        Ok(calls::resume_namespace(self.db(), namespace, by).await?)
    }

    async fn limit_namespace(
        &self,
        namespace: &str,
        max_depth: Option<i32>,
        by: By<'_>,
    ) -> Result<()> {
        Ok(calls::limit_namespace(self.db(), namespace, max_depth, by).await?)
    }

    async fn list_events(
        &self,
        namespace: &str,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<QueuedEvent>> {
        Ok(calls::list_events(self.db(), namespace, after, limit).await?)
    }

    async fn list_workers(&self) -> Result<Vec<WorkerOverview>> {
        Ok(calls::list_workers(self.db()).await?)
    }

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &Page,
    ) -> Result<Listed<DeadLetter>> {
        Ok(calls::list_dead_letters(self.db(), filter, page).await?)
    }

    async fn show_dead_letter(&self, entry_id: Uuid) -> Result<DeadLetterDetails> {
        Ok(calls::show_dead_letter(self.db(), entry_id).await?)
    }

    async fn dead_letter_counts(&self) -> Result<Vec<DeadLetterCount>> {
        Ok(calls::dead_letter_counts(self.db()).await?)
    }

    async fn prune(&self, max: i32, by: By<'_>) -> Result<Pruned> {
        Ok(calls::prune(self.db(), max, by).await?)
    }

    async fn list_staleness(
        &self,
        staleness: Option<&HowStale>,
        limit: u32,
    ) -> Result<Vec<Staleness>> {
        Ok(calls::list_staleness(self.db(), staleness, limit).await?)
    }

    async fn slowest_steps(&self, sample: &Sample, limit: u32) -> Result<Vec<SlowStep>> {
        Ok(calls::slowest_steps(self.db(), sample, limit).await?)
    }

    async fn throughput(&self, sample: &Sample, bucket: Duration) -> Result<Vec<Throughput>> {
        Ok(calls::throughput(self.db(), sample, bucket).await?)
    }

    async fn failure_rates(&self, sample: &Sample, limit: u32) -> Result<Vec<FailureRate>> {
        Ok(calls::failure_rates(self.db(), sample, limit).await?)
    }
}
