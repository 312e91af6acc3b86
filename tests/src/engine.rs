//! The engine's functions as a test calls them: one worker and one orchestrator, by hand, a call at
//! a time.

use crate::TestDb;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// A claimed step, as much of it as tests look at.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Claim {
    /// Its task.
    pub task_id: Uuid,
    /// Its name.
    pub step: String,
    /// Counts against max_attempts.
    pub attempt: i32,
    /// The fence.
    pub claim_no: i32,
    /// The parents' results by name.
    pub parents: Value,
    /// The cursor of an instance of a batch.
    pub inputs: Option<Value>,
    /// How far an earlier claim has come.
    pub checkpoint: Option<Value>,
}

/// Calls the SQL API by hand in a database of its own.
pub struct Engine {
    /// The database.
    pub db: TestDb,
    /// Who claims.
    pub worker: Uuid,
}

impl Engine {
    /// A new database.
    pub async fn new() -> Self {
        Self { db: TestDb::new().await, worker: Uuid::now_v7() }
    }

    /// The test's connections.
    pub fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    /// Applies a template.
    pub async fn apply(&self, definition: Value) {
        sqlx::query("select * from tasker.apply_template($1)")
            .bind(definition)
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// Applies `test.flow` with these steps: name and dependencies, each a no-op with three
    /// attempts and no backoff.
    pub async fn apply_flow(&self, steps: &[(&str, &[&str])]) {
        self.apply(flow(steps)).await;
    }

    /// Enqueues a task of `test.flow` and creates its steps.
    pub async fn start(&self) -> Uuid {
        let id = self.enqueue(json!({})).await;
        self.initialize().await;
        id
    }

    /// Enqueues a task of `test.flow`.
    pub async fn enqueue(&self, context: Value) -> Uuid {
        sqlx::query_scalar("select tasker.enqueue_task('test', 'flow', $1)")
            .bind(context)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Takes all requests and initializes their tasks.
    pub async fn initialize(&self) {
        sqlx::query(
            "select * from tasker.initialize_tasks((select \
             coalesce(jsonb_agg(jsonb_build_object('msg_id', r.msg_id, 'task_id', r.task_id)), '[]')
                                                      from tasker.take_task_requests(1000) r))",
        )
        .execute(self.pool())
        .await
        .unwrap();
    }

    /// Claims up to `max` steps, ordered by name.
    pub async fn claim(&self, max: i32) -> Vec<Claim> {
        sqlx::query_as("select * from tasker.claim_steps('test', $1, $2) order by step, task_id")
            .bind(self.worker)
            .bind(max)
            .fetch_all(self.pool())
            .await
            .unwrap()
    }

    /// Submits one outcome and returns its status.
    pub async fn submit(&self, claim: &Claim, outcome: Value) -> String {
        let results = json!([{
            "task_id": claim.task_id,
            "step": claim.step,
            "claim_no": claim.claim_no,
            "outcome": outcome,
        }]);
        sqlx::query_scalar("select status from tasker.submit_results($1, $2)")
            .bind(self.worker)
            .bind(results)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Submits a success with these events and returns its status.
    pub async fn announce(&self, claim: &Claim, events: Value) -> String {
        let results = json!([{
            "task_id": claim.task_id,
            "step": claim.step,
            "claim_no": claim.claim_no,
            "outcome": {"type": "success"},
            "events": events,
        }]);
        sqlx::query_scalar("select status from tasker.submit_results($1, $2)")
            .bind(self.worker)
            .bind(results)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Submits a success.
    pub async fn succeed(&self, claim: &Claim, result: Value) -> String {
        self.submit(claim, json!({"type": "success", "result": result})).await
    }

    /// Submits a decision for these children.
    pub async fn decide(&self, claim: &Claim, steps: &[&str]) -> String {
        self.submit(claim, json!({"type": "decision", "create_steps": steps})).await
    }

    /// Submits the cursors of a batch.
    pub async fn split(&self, claim: &Claim, cursors: Value) -> String {
        self.submit(claim, json!({"type": "batches", "cursors": cursors})).await
    }

    /// Every step of a task's template that has no row, as `name presence`, and the others with
    /// their state.
    pub async fn graph(&self, id: Uuid) -> Vec<String> {
        sqlx::query_scalar(
            "select format('%s %s', step, coalesce(state::text, presence)) from \
            tasker.step_dag where task_id = $1 order by step",
        )
        .bind(id)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// Submits a failure that may be tried again.
    pub async fn fail(&self, claim: &Claim) -> String {
        self.submit(claim, json!({"type": "failure", "message": "boom"})).await
    }

    /// Processes all results that wait; returns (processed, enqueued, finished).
    pub async fn process(&self) -> (i32, i32, i32) {
        sqlx::query_as(
            "select processed, enqueued, finished from tasker.process_step_results(1000)",
        )
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    /// Enqueues what is due; returns how many.
    pub async fn enqueue_ready(&self) -> i32 {
        sqlx::query_scalar("select enqueued from tasker.enqueue_ready_steps(1000)")
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Claims and completes everything until nothing is left; returns the order of the steps'
    /// claims.
    pub async fn drain(&self) -> Vec<String> {
        let mut order = Vec::new();
        loop {
            let claims = self.claim(100).await;
            if claims.is_empty() {
                return order;
            }
            for claim in &claims {
                assert_eq!(self.succeed(claim, json!(claim.step)).await, "accepted");
                order.push(claim.step.clone());
            }
            self.process().await;
        }
    }

    /// The state of a task.
    pub async fn task_state(&self, id: Uuid) -> String {
        self.text("select state::text from tasker.tasks where task_id = $1", id).await
    }

    /// The state of a step.
    pub async fn step_state(&self, id: Uuid, step: &str) -> String {
        sqlx::query_scalar("select state::text from tasker.steps where task_id = $1 and name = $2")
            .bind(id)
            .bind(step)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// One text that a query with the task's id answers.
    pub async fn text(&self, query: &'static str, id: Uuid) -> String {
        sqlx::query_scalar(query).bind(id).fetch_one(self.pool()).await.unwrap()
    }

    /// Every hop of a task, from its first state on.
    pub async fn task_path(&self, id: Uuid) -> Vec<String> {
        sqlx::query_scalar(
            "select to_state::text from tasker.task_transitions where task_id = $1 order by \
             transition_id",
        )
        .bind(id)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// Every hop of a step.
    pub async fn step_path(&self, id: Uuid, step: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select to_state::text from tasker.step_transitions where task_id = $1 \
            and name = $2 order by transition_id",
        )
        .bind(id)
        .bind(step)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// Freezes the engine's clock at now plus `seconds`.
    pub async fn clock(&self, seconds: i32) {
        sqlx::query("select tasker.set_clock(clock_timestamp() + make_interval(secs => $1))")
            .bind(f64::from(seconds))
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// Lets every lease in the queue of `test` run out.
    pub async fn expire_leases(&self) {
        sqlx::query(
            "select pgmq.set_vt('worker_test_queue', msg_id, 0) from pgmq.q_worker_test_queue",
        )
        .execute(self.pool())
        .await
        .unwrap();
    }

    /// Orchestrators wait for a task that another holds for as long as a test needs, not for 100
    /// ms.
    pub async fn let_results_wait(&self) {
        sqlx::query("alter function tasker.process_step_results set lock_timeout = '20s'")
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// See [`break_function`].
    pub async fn break_function(&self, function: &str, from: &str, to: &str) {
        break_function(self.pool(), function, from, to).await;
    }

    /// Messages in a queue.
    pub async fn depth(&self, queue: &str) -> i64 {
        sqlx::query_scalar("select queue_length from pgmq.metrics($1)")
            .bind(queue)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }
}

/// A template `test.flow` with these steps.
pub fn flow(steps: &[(&str, &[&str])]) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|(name, parents)| {
            json!({"name": name, "dependencies": parents, "handler": {"callable": "noop"},
                   "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false}})
        })
        .collect();
    json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})
}

/// A template `test.flow` of one step `pay`, which publishes these durable events, version 1.0.
pub fn publishing_flow(events: &[&str]) -> Value {
    let mut template = flow(&[("pay", &[])]);
    template["steps"][0]["publishes_events"] = events
        .iter()
        .map(|name| json!({"name": name, "version": "1.0", "delivery": "durable"}))
        .collect();
    template
}

/// A template `test.flow` with these steps: name, type, and dependencies.
pub fn growing_flow(steps: &[(&str, &str, &[&str])]) -> Value {
    let plain: Vec<(&str, &[&str])> =
        steps.iter().map(|(name, _, parents)| (*name, *parents)).collect();
    let mut template = flow(&plain);
    for (n, (_, kind, _)) in steps.iter().enumerate() {
        template["steps"][n]["type"] = json!(kind);
    }
    template
}

/// The claim of this step among those made.
pub fn pick(claims: &[Claim], step: &str) -> Claim {
    let found = claims.iter().find(|claim| claim.step == step);
    found.unwrap_or_else(|| panic!("{step} is not among {claims:?}")).clone()
}

/// The SQLSTATE of a call that must fail.
pub async fn sqlstate(pool: &PgPool, query: &'static str) -> String {
    let error = sqlx::query(query).execute(pool).await.expect_err(query);
    error
        .as_database_error()
        .and_then(|e| e.code())
        .map(|c| c.into_owned())
        .unwrap_or_else(|| error.to_string())
}

/// Replaces `from` by `to` in a function of the engine, to show that a test sees it.
pub async fn break_function(pool: &PgPool, function: &str, from: &str, to: &str) {
    let source: String = sqlx::query_scalar(
        "select pg_get_functiondef(oid) from pg_proc where pronamespace = 'tasker'::regnamespace \
         and proname = $1",
    )
    .bind(function)
    .fetch_one(pool)
    .await
    .unwrap();
    let broken = replace_loosely(&source, from, to);
    assert!(broken != source, "{function} does not contain: {from}");
    sqlx::query(AssertSqlSafe(broken)).execute(pool).await.unwrap();
}

/// Replaces each place where `from` stands, however its white space is laid out.
fn replace_loosely(source: &str, from: &str, to: &str) -> String {
    let (mut replaced, mut rest) = (String::new(), source);
    while let Some(next) = rest.chars().next() {
        if let Some(after) = strip_loosely(rest, from) {
            replaced.push_str(to);
            rest = after;
        } else {
            replaced.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    replaced
}

/// What follows `from` at the beginning of a text.
fn strip_loosely<'a>(text: &'a str, from: &str) -> Option<&'a str> {
    let mut rest = text;
    for (n, c) in from.chars().filter(|c| !c.is_whitespace()).enumerate() {
        if n > 0 {
            rest = rest.trim_start();
        }
        rest = rest.strip_prefix(c)?;
    }
    Some(rest)
}
