//! TaskRequestActor: takes new tasks, checks their contexts against the JSON Schema of their template
//! (which PostgreSQL cannot), and creates their steps.

use crate::{
    actor::{Actor, Called},
    input_schemas::{InputSchemas, Refusal},
    orchestrator::Context,
};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use tasker_core::Result;
use uuid::Uuid;

/// A row of take_task_requests: message, task, template, and the context where a schema is to be checked.
type Request = (i64, Uuid, Uuid, Option<Value>);

/// The actor behind the queue of task requests.
pub(crate) struct TaskRequestActor {
    context: Context,
    schemas: InputSchemas,
    /// Taken and not yet initialized. Kept over an error that may pass, so that they need not wait for
    /// their lease; if this process ends, the lease brings them back. Initializing twice changes nothing.
    taken: Vec<Request>,
}

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
        Self { context, schemas: InputSchemas::default(), taken: Vec::new() }
    }

    async fn take(&mut self) -> Result<()> {
        let (max, id) = (self.context.batch_size, self.context.id);
        self.taken = self
            .context
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select msg_id, task_id, template_id, context from tasker.take_task_requests($1, $2)",
                )
                .bind(max)
                .bind(id)
                .fetch_all(connection)
                .await
            })
            .await?;
        Ok(())
    }

    async fn check(&mut self) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(self.taken.len());
        for (msg_id, task_id, template, context) in &self.taken {
            let mut error = None;
            if let Some(context) = context {
                let schemas = &mut self.schemas;
                self.context.connection.call(async |c| schemas.load(c, *template).await).await?;
                error = self.schemas.check(*template, context).err();
            }
            verdicts.push(Verdict { msg_id: *msg_id, task_id: *task_id, error });
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
                    "select initialized, failed, enqueued, next_due_ms from tasker.initialize_tasks($1, $2)",
                )
                .bind(Json(verdicts))
                .bind(id)
                .fetch_one(connection)
                .await
            })
            .await?;
        self.context.due.announce(next_due);
        self.context.stats.tasks_initialized(initialized);
        self.context.stats.tasks_refused(failed);
        self.context.stats.steps_enqueued(enqueued);
        Ok(())
    }

    async fn check_and_initialize(&mut self) -> Result<()> {
        let verdicts = self.check().await?;
        self.initialize(&verdicts).await
    }
}

impl Actor for TaskRequestActor {
    const NAME: &'static str = "task_requests";

    async fn call(&mut self) -> Result<Called> {
        if self.taken.is_empty() {
            self.take().await?;
        }
        if self.taken.is_empty() {
            return Ok(Called::handled(0));
        }
        let handled = self.taken.len() as u64;
        match self.check_and_initialize().await {
            // Trying again cannot help: their lease brings them back, to this or another orchestrator.
            Err(error) if !error.is_transient() => {
                self.taken.clear();
                Err(error)
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.taken.clear();
                Ok(Called::of_queue(handled, self.context.batch_size, &self.context.waiter))
            }
        }
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
        let verdicts = [None, Some(refusal)].map(|error| Verdict { msg_id: 7, task_id: Uuid::nil(), error });
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
