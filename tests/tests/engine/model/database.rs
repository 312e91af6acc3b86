//! The engine's side: each action as the calls that a worker, an orchestrator, or an operator
//! makes.

use super::{
    actions::{Action, Case, Outcome},
    graph::{EVENT, MAX_DECISION_DEPTH},
    machine::{Held, Machine},
    workers::{MAX_DEATHS, MAX_LOSSES},
};
use pgtasker_tests::{engine::Engine, invariants::violations};
use serde_json::{Value, json};
use sqlx::{
    Row,
    postgres::{PgPoolOptions, PgRow},
};
use uuid::Uuid;

const WORKER_CLAIM: &str =
    "select step, claim_no, attempt from tasker.claim_steps('test', $1, 1000) order by step";

/// A database with one task at a time.
pub struct Database {
    engine: Engine,
    task: Uuid,
    version: u32,
}

impl Database {
    pub async fn new() -> Self {
        let mut engine = Engine::new().await;
        // One connection, whose plans stay warm: a pool would go round all of its own.
        engine.db.pool =
            PgPoolOptions::new().max_connections(1).connect(&engine.db.url).await.unwrap();
        sqlx::raw_sql("set jit = off; set plan_cache_mode = force_generic_plan")
            .execute(engine.pool())
            .await
            .unwrap();
        sqlx::query(
            "update tasker.settings set max_decision_depth = $1, max_lease_losses = $2, \
            max_worker_losses = $3",
        )
        .bind(MAX_DECISION_DEPTH as i32)
        .bind(MAX_LOSSES)
        .bind(MAX_DEATHS)
        .execute(engine.pool())
        .await
        .unwrap();
        Self { engine, task: Uuid::nil(), version: 0 }
    }

    /// The same with one function of the engine broken: `from` in it becomes `to`.
    pub async fn broken(function: &str, from: &str, to: &str) -> Self {
        let database = Self::new().await;
        database.engine.break_function(function, from, to).await;
        database
    }

    /// A new template and its task, with its steps.
    pub async fn begin(&mut self, case: &Case) {
        self.version += 1;
        self.engine.apply(case.graph.definition(self.version, case.fail)).await;
        self.task = self.engine.start().await;
    }

    /// No work is left for the next case.
    pub async fn end(&mut self) {
        self.text("select tasker.cancel_task($1)::text").await;
        self.engine.expire_leases().await;
        while !self.engine.claim(1000).await.is_empty() {}
        self.engine.process().await;
    }

    /// One line for the task and for each row.
    pub async fn state(&self) -> Vec<String> {
        self.lines(
            "select line from (
                select 1 as n, '' as name, format('task %s', state) as line from tasker.tasks \
                where task_id = $1
                union all
                select 2, name, format('%s %s attempt %s claim_no %s losses %s %s waiting_on %s \
                cursor %s checkpoint %s', name, state, attempt, claim_no, lease_losses, \
                worker_losses, waiting_on,
                                       coalesce(inputs::text, '-'), coalesce(checkpoint ->> \
                                       'cursor', '-'))
                  from tasker.steps where task_id = $1) x
              order by n, name",
        )
        .await
    }

    /// One for each step that has no row.
    pub async fn without_rows(&self) -> Vec<String> {
        self.lines(
            "select format('%s %s', step, presence) from tasker.step_dag where task_id = \
            $1 and state is null order by step",
        )
        .await
    }

    async fn lines(&self, query: &'static str) -> Vec<String> {
        sqlx::query_scalar(query).bind(self.task).fetch_all(self.engine.pool()).await.unwrap()
    }

    pub async fn violations(&self) -> Vec<String> {
        let mut violations = violations(self.engine.pool()).await;
        // Nothing that the model does is more than the engine can process.
        let buried: Vec<String> = sqlx::query_scalar(
            "select concat_ws(': ', queue, message, detail) from tasker.dead_letters
             where reason = 'bad_message'
             union all
             select 'set aside: ' || to_jsonb(s)::text from tasker.slow_results s",
        )
        .fetch_all(self.engine.pool())
        .await
        .unwrap();
        violations.extend(buried);
        violations
    }

    /// What the calls answered, in words that the model uses too.
    pub async fn act(&mut self, action: &Action, machine: &Machine) -> Vec<String> {
        match action {
            Action::Claim => self.claims(WORKER_CLAIM).await,
            Action::Submit(which, outcome) => match machine.held(*which) {
                Some(held) => {
                    self.submit("submit_results($1, $2)", &[(held, *outcome)], machine).await
                }
                None => Vec::new(),
            },
            Action::Complete(results, claim) => {
                let results = machine.distinct(results);
                let call = [
                    "complete_steps($1, $2, 0)",
                    "complete_steps($1, $2, 1, '{noop}')",
                    "complete_steps($1, $2, 2, '{noop}')",
                    "complete_steps($1, $2, 3, '{noop}')",
                ];
                self.submit(call[*claim], &results, machine).await
            }
            Action::CompleteAll(number) => {
                self.submit("complete_steps($1, $2, 0)", &machine.all(*number), machine).await
            }
            Action::Release(which) => {
                self.claim_call(
                    "select status from tasker.release_steps($1, jsonb_build_array($2))",
                    machine.held(*which),
                )
                .await
            }
            Action::Lose(which) => {
                let call = "select status from tasker.release_steps($1, jsonb_build_array($2), \
                    p_lost => true)";
                self.claim_call(call, machine.held(*which)).await
            }
            Action::RunAlone(which) => {
                self.claim_call("select tasker.run_alone($1, $2)", machine.held(*which)).await
            }
            Action::Expire => {
                self.engine.expire_leases().await;
                Vec::new()
            }
            Action::Process => {
                self.engine.process().await;
                Vec::new()
            }
            Action::Sweep => {
                while self.engine.enqueue_ready().await > 0 {}
                Vec::new()
            }
            other => vec![self.operate(other, machine).await],
        }
    }

    /// The answer, or the SQLSTATE of the refusal.
    async fn operate(&self, action: &Action, machine: &Machine) -> String {
        match action {
            Action::Pause => {
                self.text(
                    "select tasker.pause_namespace('test')::text from (select \
                $1::uuid) x",
                )
                .await
            }
            Action::Resume => {
                self.text(
                    "select tasker.resume_namespace('test')::text from \
                (select $1::uuid) x",
                )
                .await
            }
            Action::Cancel => self.text("select tasker.cancel_task($1)::text").await,
            Action::ResolveTask => self.text("select tasker.resolve_task($1)::text").await,
            Action::Reset => self.text("select tasker.reset_task($1)::text").await,
            Action::RetryTasks => {
                self.text(
                    "select tasker.retry_tasks(jsonb_build_object('task_ids', \
                    jsonb_build_array($1::uuid)))::text",
                )
                .await
            }
            Action::ResolveStep(which, outcome) => {
                let step = machine.target(*which);
                let outcome = outcome.map(|outcome| machine.graph.outcome_json(step.node, outcome));
                let query = sqlx::query_scalar(
                    "select tasker.resolve_step($1, $2, p_outcome => \
                    $3)::text",
                );
                answer(
                    query
                        .bind(self.task)
                        .bind(step.to_string())
                        .bind(outcome)
                        .fetch_one(self.engine.pool())
                        .await,
                )
            }
            Action::RetryStep(which) => {
                let query = sqlx::query_scalar("select tasker.retry_step($1, $2)::text");
                let step = machine.target(*which).to_string();
                answer(query.bind(self.task).bind(step).fetch_one(self.engine.pool()).await)
            }
            other => unreachable!("{other:?} is no operator's"),
        }
    }

    async fn text(&self, query: &'static str) -> String {
        answer(sqlx::query_scalar(query).bind(self.task).fetch_one(self.engine.pool()).await)
    }

    async fn claims(&self, query: &'static str) -> Vec<String> {
        let rows = sqlx::query(query)
            .bind(self.engine.worker)
            .fetch_all(self.engine.pool())
            .await
            .unwrap();
        rows.iter().map(claimed).collect()
    }

    /// What a call about one claim answers.
    async fn claim_call(&self, query: &'static str, held: Option<Held>) -> Vec<String> {
        let Some(held) = held else { return Vec::new() };
        sqlx::query_scalar(query)
            .bind(self.engine.worker)
            .bind(self.claim_json(&held))
            .fetch_all(self.engine.pool())
            .await
            .unwrap()
    }

    async fn submit(
        &self,
        call: &str,
        results: &[(Held, Outcome)],
        machine: &Machine,
    ) -> Vec<String> {
        let elements: Vec<Value> = results
            .iter()
            .map(|(held, outcome)| {
                let mut result = self.claim_json(held);
                result["events"] = json!([{"name": EVENT, "payload": held.claim_no}]);
                result["outcome"] = machine.graph.outcome_json(held.key.node, *outcome);
                result
            })
            .collect();
        let columns = if call.starts_with("complete") {
            "status, step, claim_no, (claim).attempt"
        } else {
            "status, step, null::int as claim_no, null::int as attempt"
        };
        let query = format!("select {columns} from tasker.{call}");
        let mut rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(self.engine.worker)
            .bind(json!(elements))
            .fetch_all(self.engine.pool())
            .await
            .unwrap()
            .iter()
            .map(|row| match row.get::<&str, _>("status") {
                "claimed" => claimed(row),
                status => format!("{} {status}", row.get::<&str, _>("step")),
            })
            .collect::<Vec<_>>();
        rows.sort();
        let accepted = |held: &&Held| rows.contains(&format!("{} accepted", held.key));
        let mut expected: Vec<String> = results
            .iter()
            .map(|(held, _)| held)
            .filter(accepted)
            .map(|held| format!("{} {1} {1}", held.key, held.claim_no))
            .collect();
        expected.sort();
        let mut announced = self.announced().await;
        announced.sort();
        if announced != expected {
            rows.push(format!("with the events {announced:?} in place of {expected:?}"));
        }
        rows
    }

    /// The events since the last look: of which step and claim, by the engine and by who submitted
    /// it.
    async fn announced(&self) -> Vec<String> {
        sqlx::query_scalar(
            "with event as (delete from pgmq.q_test_domain_events returning message)
             select format('%s %s %s', message ->> 'step', message ->> 'claim_no', message ->> \
             'payload') from event",
        )
        .fetch_all(self.engine.pool())
        .await
        .unwrap()
    }

    fn claim_json(&self, held: &Held) -> Value {
        json!({"task_id": self.task, "step": held.key.to_string(), "claim_no": held.claim_no})
    }
}

fn claimed(row: &PgRow) -> String {
    let (step, claim_no, attempt): (&str, i32, i32) =
        (row.get("step"), row.get("claim_no"), row.get("attempt"));
    format!("{step} claimed as {claim_no}, attempt {attempt}")
}

fn answer(result: sqlx::Result<String>) -> String {
    match result {
        Ok(text) => text,
        Err(error) => match error.as_database_error().and_then(|e| e.code()) {
            Some(code) if code.starts_with("TK") => code.into_owned(),
            _ => panic!("{error}"),
        },
    }
}
