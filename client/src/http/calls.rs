//! Each call of [`Client`] as a request.

use super::HttpClient;
use crate::{Applied, Client, Error, Report, Result, types::*};
use async_trait::async_trait;
use pgtasker_core::{DeadLetterStatus, HowStale, bounds::PAGE};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use super::request::Request;

/// The longest page that the API gives.
const LONGEST_PAGE: u32 = PAGE.most;

#[derive(Deserialize)]
struct TaskId {
    task_id: Uuid,
}

#[derive(Deserialize)]
struct EntryId {
    entry_id: Uuid,
}

#[derive(Deserialize)]
struct Entries {
    entries: i64,
}

#[derive(Deserialize)]
struct Changed {
    changed: bool,
}

#[derive(Deserialize)]
struct Tasks {
    tasks: i64,
}

#[derive(Deserialize)]
struct Outcome {
    result: Option<Value>,
}

impl HttpClient {
    /// A page, by several requests where it is longer than one may be.
    async fn page<'a, T: DeserializeOwned>(
        &'a self,
        page: &Page,
        request: impl Fn() -> Request<'a> + Sync,
    ) -> Result<Listed<T>> {
        let mut all = Listed { items: Vec::new(), next: page.after.clone() };
        let mut left = page.limit;
        loop {
            // A limit of 0 is for the server to refuse.
            let limit = left.min(LONGEST_PAGE);
            let request = request().query("after", all.next.as_deref()).query("limit", Some(limit));
            let next: Listed<T> = request.send().await?;
            // A page may end early where its items are large.
            left = left.saturating_sub(u32::try_from(next.items.len()).unwrap_or(limit));
            all.items.extend(next.items);
            all.next = next.next;
            if left == 0 || all.next.is_none() {
                return Ok(all);
            }
        }
    }

    async fn change_task(&self, task_id: Uuid, action: &str, by: By<'_>) -> Result<bool> {
        let request = self.post(&["tasks", &task_id.to_string(), action]).by(by, &[]);
        Ok(request.send::<Changed>().await?.changed)
    }

    async fn change_tasks(
        &self,
        action: &str,
        which: &TaskSelection,
        by: By<'_>,
        max: i32,
    ) -> Result<i32> {
        let more = [("filter", Some(json!(which))), ("max", Some(json!(max)))];
        let Tasks { tasks } = self.post(&["tasks", action]).by(by, &more).send().await?;
        i32::try_from(tasks)
            .map_err(|_| Error::Protocol(format!("the API says {tasks} tasks of at most {max}")))
    }
}

impl Request<'_> {
    fn sample(self, sample: &Sample) -> Self {
        self.query("namespace", sample.namespace.as_deref())
            .query("name", sample.name.as_deref())
            .query_seconds("since_seconds", sample.since)
            .query("max_tasks", Some(sample.max_tasks))
    }
}

#[async_trait]
impl Client for HttpClient {
    async fn health(&self) -> Result<ServerHealth> {
        self.get(&["health"]).send_any().await
    }

    async fn enqueue_task(&self, task: &NewTask) -> Result<Uuid> {
        Ok(self.post(&["tasks"]).json(task).send::<TaskId>().await?.task_id)
    }

    async fn list_tasks(&self, which: &TaskSelection, page: &Page) -> Result<Listed<TaskOverview>> {
        // No parameter can say an empty list.
        let is_empty = |length: Option<usize>| length == Some(0);
        if is_empty(which.states.as_ref().map(Vec::len))
            || is_empty(which.task_ids.as_ref().map(Vec::len))
        {
            return Ok(Listed { items: Vec::new(), next: None });
        }
        let request = || {
            self.get(&["tasks"])
                .query("namespace", which.namespace.as_deref())
                .query("name", which.name.as_deref())
                .query("version", which.version.as_deref())
                .query_list("state", which.states.as_deref())
                .query_list("task_id", which.task_ids.as_deref())
                .query("correlation_id", which.correlation_id)
                .query_time("created_after", which.created_after)
                .query_time("created_before", which.created_before)
                .query("error_code", which.error_code.as_deref())
                .query("idempotency_key", which.idempotency_key.as_deref())
                .query("id_prefix", which.id_prefix.as_deref())
        };
        self.page(page, request).await
    }

    async fn show_task(&self, task_id: Uuid) -> Result<TaskOverview> {
        self.get(&["tasks", &task_id.to_string()]).send().await
    }

    async fn task_status(&self, task_id: Uuid) -> Result<TaskStatus> {
        self.get(&["tasks", &task_id.to_string(), "status"]).send().await
    }

    async fn task_result(&self, task_id: Uuid) -> Result<Option<Value>> {
        Ok(self.get(&["tasks", &task_id.to_string(), "result"]).send::<Outcome>().await?.result)
    }

    async fn task_context(&self, task_id: Uuid) -> Result<Value> {
        self.get(&["tasks", &task_id.to_string(), "context"]).send().await
    }

    async fn task_graph(&self, task_id: Uuid, instances: Instances) -> Result<TaskGraph> {
        let instances = match instances {
            Instances::All => "all".to_owned(),
            Instances::Few(few) => few.to_string(),
        };
        self.get(&["tasks", &task_id.to_string(), "graph"])
            .query("instances", Some(instances))
            .send()
            .await
    }

    async fn task_transitions(&self, task_id: Uuid) -> Result<Transitions> {
        let mut all = Transitions::default();
        let mut after: Option<String> = None;
        loop {
            let request = self.get(&["tasks", &task_id.to_string(), "transitions"]);
            let request = request.query("after", after).query("limit", Some(LONGEST_PAGE));
            let page: TransitionsPage = request.send().await?;
            all.task.extend(page.task);
            all.steps.extend(page.steps);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn list_batches(&self, task_id: Uuid) -> Result<Vec<BatchOverview>> {
        self.get(&["tasks", &task_id.to_string(), "batches"]).send().await
    }

    async fn cancel_task(&self, task_id: Uuid, by: By<'_>) -> Result<bool> {
        self.change_task(task_id, "cancel", by).await
    }

    async fn resolve_task(
        &self,
        task_id: Uuid,
        result: Option<&Value>,
        by: By<'_>,
    ) -> Result<bool> {
        let request = self.post(&["tasks", &task_id.to_string(), "resolve"]);
        Ok(request.by(by, &[("result", result.cloned())]).send::<Changed>().await?.changed)
    }

    async fn reset_task(&self, task_id: Uuid, by: By<'_>) -> Result<bool> {
        self.change_task(task_id, "reset", by).await
    }

    async fn retry_tasks(&self, which: &TaskSelection, by: By<'_>, max: i32) -> Result<i32> {
        self.change_tasks("retry", which, by, max).await
    }

    async fn cancel_tasks(&self, which: &TaskSelection, by: By<'_>, max: i32) -> Result<i32> {
        self.change_tasks("cancel", which, by, max).await
    }

    async fn count_tasks(&self, which: &TaskSelection) -> Result<i64> {
        Ok(self
            .post(&["tasks", "count"])
            .json(&json!({"filter": which}))
            .send::<Tasks>()
            .await?
            .tasks)
    }

    async fn list_steps(
        &self,
        task_id: Uuid,
        filter: &StepFilter,
        page: &Page,
    ) -> Result<Listed<StepOverview>> {
        let task_id = task_id.to_string();
        let states = Some(filter.states.as_slice()).filter(|states| !states.is_empty());
        let request = || {
            self.get(&["tasks", &task_id, "steps"])
                .query_list("state", states)
                .query("template_step", filter.template_step.as_deref())
        };
        self.page(page, request).await
    }

    async fn show_step(&self, task_id: Uuid, step: &str) -> Result<StepOverview> {
        self.get(&["tasks", &task_id.to_string(), "steps", step]).send().await
    }

    async fn step_transitions(&self, task_id: Uuid, step: &str) -> Result<Vec<StepTransition>> {
        self.get(&["tasks", &task_id.to_string(), "steps", step, "transitions"]).send().await
    }

    async fn retry_step(&self, task_id: Uuid, step: &str, by: By<'_>) -> Result<bool> {
        let request =
            self.post(&["tasks", &task_id.to_string(), "steps", step, "retry"]).by(by, &[]);
        Ok(request.send::<Changed>().await?.changed)
    }

    async fn resolve_step(
        &self,
        task_id: Uuid,
        step: &str,
        result: Option<&Value>,
        outcome: Option<&Value>,
        by: By<'_>,
    ) -> Result<bool> {
        let request = self.post(&["tasks", &task_id.to_string(), "steps", step, "resolve"]);
        let more = [("result", result.cloned()), ("outcome", outcome.cloned())];
        Ok(request.by(by, &more).send::<Changed>().await?.changed)
    }

    async fn list_templates(&self, namespace: Option<&str>) -> Result<Vec<TemplateOverview>> {
        self.get(&["templates"]).query("namespace", namespace).send().await
    }

    async fn show_template(
        &self,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Template>> {
        let found =
            self.get(&["templates", namespace, name]).query("version", version).send().await;
        match found {
            // No such namespace, template, or version.
            Err(Error::Refused { code, .. }) if matches!(&*code, "TK001" | "TK002" | "TK003") => {
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    async fn validate_template(&self, definition: &Value) -> Result<Report> {
        self.post(&["templates", "validate"]).json(definition).send().await
    }

    async fn apply_template(&self, definition: &Value, by: By<'_>) -> Result<Applied> {
        // The body is the definition itself.
        self.post(&["templates"]).query("by", by.who).json(definition).send().await
    }

    async fn use_template(
        &self,
        namespace: &str,
        name: &str,
        version: &str,
        by: By<'_>,
    ) -> Result<Applied> {
        let request = self.post(&["templates", namespace, name, "use"]);
        request.by(by, &[("version", Some(json!(version)))]).send().await
    }

    async fn list_queues(&self) -> Result<Vec<QueueOverview>> {
        self.get(&["queues"]).send().await
    }

    async fn list_namespaces(&self) -> Result<Vec<String>> {
        self.get(&["namespaces"]).send().await
    }

    async fn pause_namespace(&self, namespace: &str, by: By<'_>) -> Result<bool> {
        let request = self.post(&["namespaces", namespace, "pause"]).by(by, &[]);
        Ok(request.send::<Changed>().await?.changed)
    }

    async fn resume_namespace(&self, namespace: &str, by: By<'_>) -> Result<bool> {
        let request = self.post(&["namespaces", namespace, "resume"]).by(by, &[]);
        Ok(request.send::<Changed>().await?.changed)
    }

    async fn limit_namespace(
        &self,
        namespace: &str,
        max_depth: Option<i32>,
        by: By<'_>,
    ) -> Result<()> {
        let request = self.request(Method::PUT, &["namespaces", namespace, "limit"]);
        // Null takes the limit away, and has to be there.
        request
            .json(&json!({"max_depth": max_depth, "reason": by.reason, "by": by.who}))
            .done()
            .await
    }

    async fn list_events(
        &self,
        namespace: &str,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<QueuedEvent>> {
        let request = self.get(&["namespaces", namespace, "events"]);
        request.query("after", after).query("limit", Some(limit)).send().await
    }

    async fn list_workers(&self) -> Result<Vec<WorkerOverview>> {
        self.get(&["workers"]).send().await
    }

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &Page,
    ) -> Result<Listed<DeadLetter>> {
        let request = || {
            self.get(&["dead-letters"])
                .query("reason", filter.reason.as_ref())
                .query("status", filter.status.as_ref())
                .query("task_id", filter.task_id)
                .query("id_prefix", filter.id_prefix.as_deref())
        };
        self.page(page, request).await
    }

    async fn show_dead_letter(&self, entry_id: Uuid) -> Result<DeadLetterDetails> {
        self.get(&["dead-letters", &entry_id.to_string()]).send().await
    }

    async fn dead_letter_counts(&self) -> Result<Vec<DeadLetterCount>> {
        self.get(&["dead-letters", "counts"]).send().await
    }

    async fn add_dead_letter(
        &self,
        task_id: Uuid,
        notes: Option<&str>,
        by: By<'_>,
    ) -> Result<Uuid> {
        let more = [("task_id", Some(json!(task_id))), ("notes", notes.map(|notes| json!(notes)))];
        // The notes are the reason.
        let by = By { reason: None, ..by };
        Ok(self.post(&["dead-letters"]).by(by, &more).send::<EntryId>().await?.entry_id)
    }

    async fn update_dead_letter(
        &self,
        entry_id: Uuid,
        status: Option<&DeadLetterStatus>,
        notes: Option<&str>,
        by: By<'_>,
    ) -> Result<()> {
        let text = |value: Option<&str>| value.map(|value| json!(value));
        let request = self.request(Method::PATCH, &["dead-letters", &entry_id.to_string()]);
        let by = By { reason: None, ..by };
        request
            .by(by, &[("status", status.map(|status| json!(status))), ("notes", text(notes))])
            .done()
            .await
    }

    async fn retry_dead_letter(&self, entry_id: Uuid, by: By<'_>) -> Result<()> {
        self.post(&["dead-letters", &entry_id.to_string(), "retry"]).by(by, &[]).done().await
    }

    async fn count_dead_letters(&self, which: &DeadLetterSelection) -> Result<i64> {
        let request = self.post(&["dead-letters", "count"]).json(&json!({"filter": which}));
        Ok(request.send::<Entries>().await?.entries)
    }

    async fn retry_dead_letters(
        &self,
        which: &DeadLetterSelection,
        by: By<'_>,
        max: i32,
        after: Option<Uuid>,
    ) -> Result<DeadLettersChanged> {
        let more = [
            ("filter", Some(json!(which))),
            ("max", Some(json!(max))),
            ("after", after.map(|after| json!(after))),
        ];
        self.post(&["dead-letters", "retry"]).by(by, &more).send().await
    }

    async fn update_dead_letters(
        &self,
        which: &DeadLetterSelection,
        status: Option<&DeadLetterStatus>,
        by: By<'_>,
        max: i32,
        after: Option<Uuid>,
    ) -> Result<DeadLettersChanged> {
        let more = [
            ("filter", Some(json!(which))),
            ("status", status.map(|status| json!(status))),
            ("max", Some(json!(max))),
            ("after", after.map(|after| json!(after))),
        ];
        self.post(&["dead-letters", "update"]).by(by, &more).send().await
    }

    async fn list_settings(&self) -> Result<Vec<EngineSetting>> {
        self.get(&["settings"]).send().await
    }

    async fn set_setting(&self, name: &str, value: &str, by: By<'_>) -> Result<()> {
        let request = self.request(Method::PUT, &["settings", name]);
        request.by(By { reason: None, ..by }, &[("value", Some(json!(value)))]).done().await
    }

    async fn prune(&self, max: i32, by: By<'_>) -> Result<Pruned> {
        self.post(&["prune"]).json(&json!({"max": max, "by": by.who})).send().await
    }

    async fn list_staleness(
        &self,
        staleness: Option<&HowStale>,
        limit: u32,
    ) -> Result<Vec<Staleness>> {
        self.get(&["staleness"])
            .query("staleness", staleness)
            .query("limit", Some(limit))
            .send()
            .await
    }

    async fn slowest_steps(&self, sample: &Sample, limit: u32) -> Result<Vec<SlowStep>> {
        let request = self.get(&["analytics", "slowest-steps"]).sample(sample);
        request.query("limit", Some(limit)).send().await
    }

    async fn throughput(&self, sample: &Sample, bucket: Duration) -> Result<Vec<Throughput>> {
        let request = self.get(&["analytics", "throughput"]).sample(sample);
        request.query_seconds("bucket_seconds", bucket).send().await
    }

    async fn failure_rates(&self, sample: &Sample, limit: u32) -> Result<Vec<FailureRate>> {
        let request = self.get(&["analytics", "failure-rates"]).sample(sample);
        request.query("limit", Some(limit)).send().await
    }
}
