//! TaskRequestActor: takes new tasks, checks their contexts against the JSON Schema of their
//! template (which PostgreSQL cannot), and creates their steps.

use crate::{
    actor::{Actor, BatchSize, Called},
    context::Context,
    input_schemas::{InputSchemas, Refusal},
};
use pgtasker_core::{Result, failpoint};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long contexts are checked before the tasks of those that have been are begun.
const CHECK_TIME: Duration = Duration::from_secs(1);

/// A request whose context is to be checked against its template's schema.
#[derive(Debug, Deserialize)]
struct Request {
    msg_id: i64,
    task_id: Uuid,
    template_id: Uuid,
    /// As text: jsonb holds what serde_json does not read, and one such must not cost the whole
    /// batch.
    context: String,
}

/// The actor behind the queue of task requests.
pub(crate) struct TaskRequestActor {
    context: Context,
    schemas: InputSchemas,
    /// Taken and not yet initialized. Kept over an error that may pass, so that they need not wait
    /// for their lease; if this process ends, the lease brings them back. Initializing twice
    /// changes nothing.
    taken: Vec<Request>,
    size: BatchSize,
}

/// What start_tasks returns; counts are null where nothing was initialized.
type Started =
    (i32, Option<i32>, Option<i32>, Option<i32>, Option<i64>, Json<Vec<Request>>, Option<bool>);

/// An element of initialize_tasks' argument.
#[derive(Serialize)]
struct Verdict {
    msg_id: i64,
    task_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal>,
}

impl TaskRequestActor {
    pub(crate) fn new(context: Context) -> Self {
        let size = BatchSize::new(context.batch_size);
        Self { context, schemas: InputSchemas::default(), taken: Vec::new(), size }
    }

    /// Takes a batch and starts those of it that need no check; keeps the others. Returns how many
    /// were taken, and whether others wait.
    async fn start(&mut self) -> Result<(u64, bool)> {
        failpoint::reach("task_requests.before_start");
        let (max, id) = (self.size.now(), self.context.id);
        let started: Result<Started> = self
            .context
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select taken, initialized, failed, enqueued, next_due_ms, to_check, more
                       from tasker.start_tasks($1, $2)",
                )
                .bind(max)
                .bind(id)
                .fetch_one(connection)
                .await
            })
            .await;
        self.size.adapt(&started);
        let (taken, initialized, failed, enqueued, next_due, to_check, more) = started?;
        if taken > 0 {
            failpoint::reach("task_requests.after_start");
        }
        self.taken = to_check.0;
        self.count(initialized.unwrap_or(0), failed.unwrap_or(0), enqueued.unwrap_or(0), next_due);
        Ok((taken.try_into().unwrap_or(0), more.unwrap_or(false)))
    }

    fn count(&self, initialized: i32, failed: i32, enqueued: i32, next_due: Option<i64>) {
        self.context.due.announce(next_due);
        self.context.stats.tasks_initialized(initialized);
        self.context.stats.tasks_refused(failed);
        self.context.stats.steps_enqueued(enqueued);
    }

    async fn check(&mut self) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(self.taken.len());
        let begun = Instant::now();
        for request in &self.taken {
            // What has been judged begins before more is: a check may take seconds.
            if !verdicts.is_empty() && begun.elapsed() > CHECK_TIME {
                break;
            }
            let schemas = &mut self.schemas;
            self.context
                .connection
                .call(async |c| schemas.load(c, request.template_id).await)
                .await?;
            let error = match serde_json::from_str(&request.context) {
                Ok(context) => self.schemas.check(request.template_id, context).await.err(),
                Err(error) => Some(Refusal {
                    message: format!("the context cannot be read: {error}"),
                    code: "invalid_context",
                }),
            };
            verdicts.push(Verdict { msg_id: request.msg_id, task_id: request.task_id, error });
        }
        Ok(verdicts)
    }

    async fn initialize(&mut self, verdicts: &[Verdict]) -> Result<()> {
        let id = self.context.id;
        let (initialized, failed, enqueued, next_due): (i32, i32, i32, Option<i64>) = self
            .context
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select initialized, failed, enqueued, next_due_ms from \
                     tasker.initialize_tasks($1, $2)",
                )
                .bind(Json(verdicts))
                .bind(id)
                .fetch_one(connection)
                .await
            })
            .await?;
        self.count(initialized, failed, enqueued, next_due);
        Ok(())
    }

    async fn check_and_initialize(&mut self) -> Result<()> {
        let verdicts = self.check().await?;
        failpoint::reach("task_requests.after_check");
        self.initialize(&verdicts).await?;
        self.taken.drain(..verdicts.len());
        failpoint::reach("task_requests.after_initialize");
        Ok(())
    }
}

impl Actor for TaskRequestActor {
    const NAME: &'static str = "task_requests";

    async fn call(&mut self) -> Result<Called> {
        let (mut handled, mut more) = (self.taken.len() as u64, true);
        if self.taken.is_empty() {
            (handled, more) = self.start().await?;
        }
        let mut called = Called::of_queue(handled, self.context.batch_size, &self.context.waiter);
        called.more |= more;
        if self.taken.is_empty() {
            return Ok(called);
        }
        while !self.taken.is_empty() {
            if let Err(error) = self.check_and_initialize().await {
                // Trying again cannot help: their lease brings them back, to this or another
                // orchestrator.
                if !error.is_transient() {
                    self.taken.clear();
                }
                return Err(error);
            }
        }
        Ok(called)
    }

    async fn wait(&mut self) {
        self.context.waiter.wait(self.context.poll_interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verdicts_have_the_form_that_initialize_tasks_takes() {
        let refusal = Refusal { message: "no".into(), code: "invalid_context" };
        let verdicts =
            [None, Some(refusal)].map(|error| Verdict { msg_id: 7, task_id: Uuid::nil(), error });
        let id = Uuid::nil().to_string();
        assert_eq!(
            serde_json::to_value(verdicts).unwrap(),
            json!([
                {"msg_id": 7, "task_id": id},
                {"msg_id": 7, "task_id": id, "error": {"message": "no", "code": "invalid_context"}},
            ])
        );
    }
}
