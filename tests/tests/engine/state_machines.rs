//! The database enforces the two state machines for every writer, and audits every hop.

use pgtasker_core::{StepState, TaskState};
use pgtasker_tests::engine::{Engine, sqlstate};
use rstest::rstest;
use serde_json::json;
use std::{collections::BTreeSet, time::Instant};

#[tokio::test]
async fn the_rules_in_the_database_are_those_in_rust() {
    let e = Engine::new().await;
    let pool = e.pool();
    let pairs = |table: &'static str| async move {
        sqlx::query_as::<_, (String, String)>(table)
            .fetch_all(pool)
            .await
            .unwrap()
            .into_iter()
            .collect::<BTreeSet<_>>()
    };
    let in_rust = |all: Vec<(String, String, bool)>| -> BTreeSet<(String, String)> {
        all.into_iter().filter(|(_, _, legal)| *legal).map(|(from, to, _)| (from, to)).collect()
    };
    let steps = StepState::ALL
        .iter()
        .flat_map(|f| {
            StepState::ALL.iter().map(|t| (f.to_string(), t.to_string(), f.may_move_to(*t)))
        })
        .collect();
    let tasks = TaskState::ALL
        .iter()
        .flat_map(|f| {
            TaskState::ALL.iter().map(|t| (f.to_string(), t.to_string(), f.may_move_to(*t)))
        })
        .collect();
    assert_eq!(
        pairs("select from_state::text, to_state::text from tasker.step_moves where via = '{}'")
            .await,
        in_rust(steps)
    );
    assert_eq!(
        pairs("select from_state::text, to_state::text from tasker.task_moves where via = '{}'")
            .await,
        in_rust(tasks)
    );
}

#[rstest]
#[case("task_moves")]
#[case("step_moves")]
#[tokio::test]
async fn every_hop_of_a_composed_move_is_legal_by_itself(#[case] table: &str) {
    let e = Engine::new().await;
    let query = format!(
        "select count(*) from tasker.{table} m cross join lateral unnest(m.via || m.to_state) \
         with ordinality h(state, n)
          where m.via <> '{{}}' and not exists (select from tasker.{table} r where r.via = '{{}}' \
          and r.to_state = h.state
                                                 and r.from_state = (m.from_state || m.via)[h.n])"
    );
    let illegal: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(e.pool()).await.unwrap();
    assert_eq!(illegal, 0);
}

#[rstest]
#[case("update tasker.steps set state = 'complete'", "TK020")]
#[case("update tasker.steps set claim_no = claim_no + 1", "TK020")]
#[case("update tasker.tasks set state = 'complete'", "TK020")]
#[case(
    "update tasker.tasks set via = '{evaluating_results}', move_no = move_no + 1, state = \
     'pending'",
    "TK020"
)]
#[case("update tasker.steps set name = 'z'", "TK021")]
#[case("update tasker.tasks set task_id = gen_random_uuid()", "TK021")]
#[case(
    "insert into tasker.steps (task_id, name, template_step, state, waiting_on, max_attempts, \
     updated_at, created_at) select task_id, 'z', 'a', 'complete', 0, 1, now(), now() from \
     tasker.tasks",
    "TK022"
)]
#[case(
    "insert into tasker.tasks (task_id, template_id, namespace, name, state, correlation_id, \
     context, created_at, updated_at) select gen_random_uuid(), template_id, 'test', 'flow', \
     'complete', gen_random_uuid(), '{}', now(), now() from tasker.templates",
    "TK022"
)]
#[case("truncate tasker.steps", "TK023")]
#[case("truncate tasker.tasks", "TK023")]
#[case("truncate tasker.step_transitions", "TK023")]
#[case("truncate tasker.task_transitions", "TK023")]
#[case("update tasker.step_transitions set reason = ''", "TK024")]
#[case("update tasker.task_transitions set reason = ''", "TK024")]
#[tokio::test]
async fn what_would_escape_the_audit_is_refused(#[case] query: &'static str, #[case] code: &str) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    e.start().await;
    assert_eq!(sqlstate(e.pool(), query).await, code);
    // Not even as a replica.
    let mut connection = e.pool().acquire().await.unwrap();
    sqlx::query("set session_replication_role = replica").execute(&mut *connection).await.unwrap();
    let refused = sqlx::query(query).execute(&mut *connection).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), code);
}

#[tokio::test]
async fn a_legal_update_by_hand_is_audited() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    sqlx::query("update tasker.steps set state = 'cancelled'").execute(e.pool()).await.unwrap();
    assert_eq!(e.step_path(id, "a").await, ["enqueued", "cancelled"]);
}

#[tokio::test]
async fn every_hop_of_a_task_and_its_steps_is_written() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id = e.start().await;
    e.drain().await;
    assert_eq!(
        e.task_path(id).await,
        [
            "initializing",
            "enqueuing_steps",
            "steps_in_process",
            "evaluating_results",
            "enqueuing_steps",
            "steps_in_process",
            "evaluating_results",
            "complete"
        ]
    );
    assert_eq!(
        e.step_path(id, "b").await,
        ["enqueued", "in_progress", "enqueued_for_orchestration", "complete"]
    );
    let actors: i64 =
        sqlx::query_scalar("select count(*) from tasker.step_transitions where actor_id = $1")
            .bind(e.worker)
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(actors, 4, "two claims and two submits of this worker");
    let broken: i64 = sqlx::query_scalar(
        "select count(*) from (select from_state, lag(to_state) over (partition by task_id, name \
         order by transition_id) as before from tasker.step_transitions) h
          where before is not null and before <> from_state",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(broken, 0, "each hop begins where the last one ended");
}

/// The plan of the trigger is made for the first update of one row and then serves ten thousand.
#[tokio::test]
async fn the_audit_of_ten_thousand_moves_takes_no_quadratic_time() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut connection = e.pool().acquire().await.unwrap();
    let contexts = vec![json!({}); 10_001];
    sqlx::query("select tasker.enqueue_tasks('test', 'flow', $1)")
        .bind(&contexts)
        .execute(&mut *connection)
        .await
        .unwrap();
    let seconds = |limit: i32| {
        format!(
            "update tasker.steps s set state = 'cancelled' from (select task_id from tasker.steps \
             where state = 'enqueued' limit {limit}) x where x.task_id = s.task_id"
        )
    };
    sqlx::query(
        "select tasker.initialize_tasks((select jsonb_agg(jsonb_build_object('msg_id', r.msg_id, \
         'task_id', r.task_id)) from tasker.take_task_requests(20000) r))",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    for _ in 0..7 {
        sqlx::query(sqlx::AssertSqlSafe(seconds(1))).execute(&mut *connection).await.unwrap();
    }
    let started = Instant::now();
    sqlx::query(sqlx::AssertSqlSafe(seconds(20_000))).execute(&mut *connection).await.unwrap();
    assert!(
        started.elapsed().as_secs_f64() < 3.0,
        "took {:?}; quadratic it takes more than ten seconds",
        started.elapsed()
    );
}
