//! What the tests of the whole share: a database, and the orchestrators and workers that run on it
//! in this process, each with connections of its own.

use pgtasker_core::db::{DbOptions, connect};
use pgtasker_orchestrator::Orchestrator;
use pgtasker_tests::{TestDb, eventually};
use pgtasker_worker::{CancellationToken, Worker, WorkerBuilder};
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// No test takes nearly as long on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);

/// A database with what runs on it.
pub struct World {
    pub db: TestDb,
    pub poll_only: bool,
}

/// A running worker.
pub struct Running {
    pub shutdown: CancellationToken,
    ended: JoinHandle<pgtasker_core::Result<()>>,
}

impl Running {
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

impl World {
    pub async fn new() -> Self {
        Self { db: TestDb::new().await, poll_only: false }
    }

    /// With a template and an orchestrator.
    pub async fn with(template: Value) -> Self {
        let world = Self::new().await;
        world.apply(template).await;
        world.orchestrator().await;
        world
    }

    pub async fn apply(&self, template: Value) {
        sqlx::query("select * from tasker.apply_template($1)")
            .bind(template)
            .execute(&self.db.pool)
            .await
            .unwrap();
    }

    /// Runs until the test ends.
    pub async fn orchestrator(&self) {
        let pool = connect(&DbOptions::new(&self.db.url, "orchestrator").max_connections(5))
            .await
            .unwrap();
        let orchestrator = Orchestrator::builder(pool).poll_only(self.poll_only).build().unwrap();
        tokio::spawn(orchestrator.run(CancellationToken::new()));
    }

    pub async fn worker(&self, register: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Running {
        self.worker_as(&self.db.url, register).await
    }

    /// A worker that connects by this URL.
    pub async fn worker_as(
        &self,
        url: &str,
        register: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Running {
        let pool = connect(&DbOptions::new(url, "worker")).await.unwrap();
        let builder = Worker::builder(pool).namespace("test").poll_only(self.poll_only);
        let worker = register(builder).build().unwrap();
        let shutdown = CancellationToken::new();
        Running { ended: tokio::spawn(worker.run(shutdown.clone())), shutdown }
    }

    pub async fn enqueue(&self, context: Value) -> Uuid {
        sqlx::query_scalar("select tasker.enqueue_task('test', 'flow', $1)")
            .bind(context)
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    /// Waits until the task can go on no more, and returns its state.
    pub async fn ended(&self, id: Uuid) -> String {
        eventually("the task to end", SOON, async || {
            let state: String =
                sqlx::query_scalar("select state::text from tasker.tasks where task_id = $1")
                    .bind(id)
                    .fetch_one(&self.db.pool)
                    .await
                    .unwrap();
            let ended =
                ["complete", "error", "cancelled", "blocked_by_failures"].contains(&state.as_str());
            if ended { Ok(state) } else { Err(state) }
        })
        .await
    }

    /// Waits until the task is complete, and returns its result.
    pub async fn result(&self, id: Uuid) -> Value {
        assert_eq!(self.ended(id).await, "complete");
        sqlx::query_scalar("select tasker.task_result($1)")
            .bind(id)
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    /// State, attempt, claim number, and error of a step.
    pub async fn step(&self, id: Uuid, step: &str) -> (String, i32, i32, Option<Value>) {
        sqlx::query_as(
            "select state::text, attempt, claim_no, error from tasker.steps where task_id = $1 \
             and name = $2",
        )
        .bind(id)
        .bind(step)
        .fetch_one(&self.db.pool)
        .await
        .unwrap()
    }

    /// The reasons in the audit of a step.
    pub async fn reasons(&self, id: Uuid, step: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select reason from tasker.step_transitions where task_id = $1 and name = $2 and \
             reason is not null order by transition_id",
        )
        .bind(id)
        .bind(step)
        .fetch_all(&self.db.pool)
        .await
        .unwrap()
    }

    /// Waits for a step's audit to say so.
    pub async fn said(&self, id: Uuid, step: &str, reason: &str) {
        eventually(reason, SOON, async || {
            let reasons = self.reasons(id, step).await;
            if reasons.iter().any(|r| r.contains(reason)) { Ok(()) } else { Err(reasons) }
        })
        .await;
    }
}
