//! `complete_steps`: what the worker calls. A success in a task that nobody holds is settled at
//! once; the rest goes through the results queue.

use pgtasker_tests::engine::{Claim, Engine};
use rstest::rstest;
use serde_json::{Value, json};

fn result(claim: &Claim, outcome: Value) -> Value {
    json!({
        "task_id": claim.task_id,
        "step": claim.step,
        "claim_no": claim.claim_no,
        "outcome": outcome,
        "duration_ms": 7,
    })
}

async fn complete(e: &Engine, results: Vec<Value>) -> Vec<(String, String)> {
    sqlx::query_as(
        "select coalesce(step, '?'), status from tasker.complete_steps($1, $2) order by step, \
         status",
    )
    .bind(e.worker)
    .bind(json!(results))
    .fetch_all(e.pool())
    .await
    .unwrap()
}

fn answer(step: &str, status: &str) -> (String, String) {
    (step.to_owned(), status.to_owned())
}

#[tokio::test]
async fn a_success_is_settled_and_its_children_sent_in_one_commit() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id = e.start().await;
    for step in ["a", "b"] {
        let claim = e.claim(1).await.remove(0);
        assert_eq!(
            complete(&e, vec![result(&claim, json!({"type": "success", "result": step}))]).await,
            [answer(step, "accepted")]
        );
    }
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(e.depth("orchestration_step_results").await, 0);
    assert_eq!(e.depth("worker_test_queue").await, 0);
    assert_eq!(
        e.step_path(id, "a").await,
        ["enqueued", "in_progress", "enqueued_for_orchestration", "complete"]
    );
    assert_eq!(e.text("select tasker.task_result($1)::text", id).await, r#"{"b": "b"}"#);
    assert_eq!(
        e.text("select duration_ms::text from tasker.steps where task_id = $1 and name = 'a'", id)
            .await,
        "7"
    );
}

#[tokio::test]
async fn a_result_of_a_task_that_somebody_holds_waits_in_the_queue() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    let claim = e.claim(1).await.remove(0);
    let mut holder = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.tasks for no key update").execute(&mut *holder).await.unwrap();
    let answers = complete(&e, vec![result(&claim, json!({"type": "success", "result": 1}))]).await;
    assert_eq!(answers, [answer("a", "accepted")], "and did not wait for the holder");
    assert_eq!(e.step_state(id, "a").await, "enqueued_for_orchestration");
    holder.rollback().await.unwrap();
    assert_eq!(e.process().await, (1, 0, 1));
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn failures_and_bad_results_take_the_queue_and_are_answered_as_ever() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[])]).await;
    let id = e.start().await;
    let claims = e.claim(4).await;
    let answers = complete(
        &e,
        vec![
            result(&claims[0], json!({"type": "success"})),
            result(&claims[0], json!({"type": "success", "result": "again"})),
            result(&claims[1], json!({"type": "failure", "message": "no", "retryable": false})),
            result(&claims[2], json!({"type": "nonsense"})),
            json!({"task_id": id, "step": "d", "claim_no": 99, "outcome": {"type": "success"}}),
            json!("rubbish"),
        ],
    )
    .await;
    let expected = [
        ("a", "accepted"),
        ("a", "duplicate"),
        ("b", "accepted"),
        ("c", "rejected"),
        ("d", "stale"),
    ];
    assert_eq!(answers[..5], expected.map(|(step, status)| answer(step, status)));
    assert_eq!(e.process().await.0, 2);
    for (step, state) in [("a", "complete"), ("b", "error"), ("c", "error"), ("d", "in_progress")] {
        assert_eq!(e.step_state(id, step).await, state);
    }
}

#[tokio::test]
async fn a_result_of_a_cancelled_task_is_stale() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id = e.start().await;
    let claim = e.claim(1).await.remove(0);
    sqlx::query("select tasker.cancel_task($1)").bind(id).execute(e.pool()).await.unwrap();
    assert_eq!(
        complete(&e, vec![result(&claim, json!({"type": "success"}))]).await,
        [answer("a", "stale")]
    );
    assert_eq!(e.step_state(id, "b").await, "cancelled");
}

/// Two workers finish the last two parents of a step at the same time, again and again.
#[tokio::test]
async fn two_workers_that_finish_the_last_parents_together_start_the_child_once() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).await;
    for _ in 0..30 {
        let id = e.start().await;
        let claims = e.claim(2).await;
        let success = json!({"type": "success"});
        let (one, two) = tokio::join!(
            complete(&e, vec![result(&claims[0], success.clone())]),
            complete(&e, vec![result(&claims[1], success.clone())])
        );
        assert_eq!((one[0].1.as_str(), two[0].1.as_str()), ("accepted", "accepted"));
        e.process().await;
        let last = e.claim(9).await;
        assert_eq!(last.len(), 1);
        complete(&e, vec![result(&last[0], success)]).await;
        e.process().await;
        assert_eq!(e.task_state(id).await, "complete");
    }
}

/// What `complete_steps` claims: step, claim number, parents' results.
async fn complete_and_claim(
    e: &Engine,
    claim: &Claim,
    max: i32,
    handlers: &[&str],
) -> Vec<(String, i32, Value)> {
    sqlx::query_as(
        "select step, claim_no, (claim).parents from tasker.complete_steps($1, $2, $3, $4, '30 \
        s') where status = 'claimed' order by step",
    )
    .bind(e.worker)
    .bind(json!([result(claim, json!({"type": "success", "result": 7}))]))
    .bind(max)
    .bind(handlers)
    .fetch_all(e.pool())
    .await
    .unwrap()
}

/// Null is no step and no handler, and what follows is sent.
#[rstest]
#[case::no_number("null, '{noop}'")]
#[case::no_handlers("2, null")]
#[case::a_handler_without_a_name("2, array['other', null]")]
#[tokio::test]
async fn what_is_not_claimed_at_once_is_sent(#[case] claim: &str) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id = e.start().await;
    let a = e.claim(1).await.remove(0);
    let call = format!("select status from tasker.complete_steps($1, $2, {claim})");
    let statuses: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(call))
        .bind(e.worker)
        .bind(json!([result(&a, json!({"type": "success"}))]))
        .fetch_all(e.pool())
        .await
        .unwrap();
    assert_eq!(statuses, ["accepted"]);
    assert_eq!(e.claim(10).await.len(), 1, "its message is there");
    assert_eq!(e.task_state(id).await, "steps_in_process");
}

#[tokio::test]
async fn what_follows_is_claimed_in_the_same_commit() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["a"])]).await;
    let id = e.start().await;
    let a = e.claim(1).await.remove(0);
    let claimed = complete_and_claim(&e, &a, 2, &["noop"]).await;
    assert_eq!(claimed, ["b", "c"].map(|step| (step.to_owned(), 1, json!({"a": 7}))));
    assert_eq!(e.step_path(id, "b").await, ["enqueued", "in_progress"]);
    let attempts = "select string_agg(attempt::text, ',' order by transition_id) from \
        tasker.step_transitions where task_id = $1 and name = 'b'";
    assert_eq!(e.text(attempts, id).await, "0,1");
    // The third, and only that, is there for everyone.
    let others: Vec<String> = e.claim(10).await.into_iter().map(|claim| claim.step).collect();
    assert_eq!(others, ["d"]);
    assert_eq!(e.depth("worker_test_queue").await, 3, "each claim has its message");
    // A lease that runs out is claimed again, as ever.
    e.expire_leases().await;
    let mut again: Vec<(String, i32)> =
        e.claim(10).await.into_iter().map(|c| (c.step, c.claim_no)).collect();
    again.sort();
    assert_eq!(again, ["b", "c", "d"].map(|step| (step.to_owned(), 2)));
}

#[tokio::test]
async fn only_steps_with_a_handler_of_the_worker_are_claimed_on() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    e.start().await;
    let a = e.claim(1).await.remove(0);
    assert_eq!(complete_and_claim(&e, &a, 5, &["another"]).await, []);
    assert_eq!(e.claim(1).await.remove(0).step, "b");
}
