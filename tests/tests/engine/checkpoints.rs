//! Checkpoints: a step says how far it has come, goes back to its queue, and goes on from there.

use pgtasker_tests::{
    engine::{Claim, Engine, growing_flow},
    invariants::assert_invariants,
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

fn checkpoint(cursor: i64) -> Value {
    json!({
        "type": "checkpoint",
        "cursor": cursor,
        "items_processed": cursor,
        "accumulated": {"sum": cursor * 10},
    })
}

/// One task of one step, with three attempts.
async fn one_step() -> (Engine, Uuid) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    (e, id)
}

async fn only(e: &Engine) -> Claim {
    let claims = e.claim(9).await;
    assert_eq!(claims.len(), 1, "{claims:?}");
    claims.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_checkpoint_is_handed_to_the_next_claim_and_attempts_count_anew_from_it() {
    let (e, id) = one_step().await;
    assert_eq!(only(&e).await.checkpoint, None);
    e.expire_leases().await;
    // More lost leases than there are attempts, and progress between them.
    for cursor in 1..=5 {
        let claim = only(&e).await;
        assert_eq!(claim.attempt, 1, "one that was lost with its lease does not count");
        assert_eq!(e.submit(&claim, checkpoint(cursor)).await, "accepted");
        assert_eq!(e.step_state(id, "a").await, "enqueued");
        assert_eq!(e.depth("worker_test_queue").await, 1, "one message, a new one");
        assert_invariants(e.pool()).await;
        assert_eq!(only(&e).await.attempt, 1, "one that ended in a checkpoint does not count");
        e.expire_leases().await;
    }
    let claim = only(&e).await;
    assert_eq!(
        claim.checkpoint,
        Some(json!({"cursor": 5, "items_processed": 5, "accumulated": {"sum": 50}}))
    );
    e.succeed(&claim, json!(1)).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn another_worker_goes_on_from_the_last_checkpoint_when_the_lease_has_run_out() {
    let (mut e, _) = one_step().await;
    assert_eq!(e.submit(&only(&e).await, checkpoint(7)).await, "accepted");
    let lost = only(&e).await;
    e.expire_leases().await;
    let first = std::mem::replace(&mut e.worker, Uuid::now_v7());
    let taken = only(&e).await;
    assert_ne!(e.worker, first);
    assert_eq!(taken.checkpoint, lost.checkpoint, "what was done since is done again");
    assert_eq!(taken.attempt, 1, "a lost lease is no attempt");

    // The first one comes back: its claim is no longer of use.
    assert_eq!(e.submit(&lost, checkpoint(9)).await, "stale");
    assert_eq!(e.submit(&taken, checkpoint(8)).await, "accepted");
    assert_eq!(e.submit(&lost, checkpoint(9)).await, "stale");
    assert_eq!(only(&e).await.checkpoint.unwrap()["cursor"], json!(8));
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_checkpoint_that_is_submitted_again_is_a_duplicate() {
    let (e, _) = one_step().await;
    let claim = only(&e).await;
    assert_eq!(e.submit(&claim, checkpoint(1)).await, "accepted");
    assert_eq!(e.submit(&claim, checkpoint(1)).await, "duplicate");
    assert_eq!(e.succeed(&claim, json!(1)).await, "stale", "the claim ended with its checkpoint");
    assert_eq!(e.depth("worker_test_queue").await, 1);
    let next = only(&e).await;
    assert_eq!(e.submit(&claim, checkpoint(1)).await, "stale", "somebody is at work since");
    assert_eq!(e.submit(&next, checkpoint(2)).await, "accepted");
    assert_invariants(e.pool()).await;
}

/// "duplicate" says that it is stored, and it is not.
#[tokio::test]
async fn a_checkpoint_of_a_claim_that_was_given_back_is_stale() {
    let (e, id) = one_step().await;
    let claim = only(&e).await;
    let claims = json!([{"task_id": id, "step": "a", "claim_no": claim.claim_no}]);
    let status: String = sqlx::query_scalar("select status from tasker.release_steps($1, $2)")
        .bind(e.worker)
        .bind(claims)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(status, "released");
    assert_eq!(e.submit(&claim, checkpoint(1)).await, "stale");
    assert_eq!(only(&e).await.checkpoint, None);
}

#[tokio::test]
async fn a_retry_and_an_operators_retry_go_on_from_the_checkpoint() {
    let (e, id) = one_step().await;
    e.submit(&only(&e).await, checkpoint(1)).await;
    e.fail(&only(&e).await).await;
    e.process().await;
    e.enqueue_ready().await;
    let again = only(&e).await;
    assert_eq!((again.attempt, &again.checkpoint.as_ref().unwrap()["cursor"]), (2, &json!(1)));
    e.submit(&again, json!({"type": "failure", "message": "no", "retryable": false})).await;
    e.process().await;
    sqlx::query("select tasker.retry_step($1, 'a')").bind(id).execute(e.pool()).await.unwrap();
    e.enqueue_ready().await;
    let again = only(&e).await;
    assert_eq!((again.attempt, &again.checkpoint.as_ref().unwrap()["cursor"]), (1, &json!(1)));
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_cancelled_tasks_step_saves_nothing() {
    let (e, id) = one_step().await;
    let claim = only(&e).await;
    sqlx::query("select tasker.cancel_task($1)").bind(id).execute(e.pool()).await.unwrap();
    assert_eq!(e.submit(&claim, checkpoint(1)).await, "stale");
    assert_eq!(e.step_state(id, "a").await, "cancelled");
    assert!(e.claim(9).await.is_empty());
}

#[rstest]
#[case::without_a_cursor(
    json!({"type": "checkpoint", "items_processed": 1}),
    "must have a \"cursor\""
)]
#[case::items_that_are_no_number(
    json!({"type": "checkpoint", "cursor": 1, "items_processed": "many"}),
    "whole number"
)]
#[case::half_an_item(
    json!({"type": "checkpoint", "cursor": 1, "items_processed": 1.5}),
    "whole number"
)]
#[case::too_large(
    json!({"type": "checkpoint", "cursor": 1, "accumulated": "x".repeat(2_000_000)}),
    "limit"
)]
#[tokio::test]
async fn what_is_no_checkpoint_fails_the_step_for_good(#[case] outcome: Value, #[case] why: &str) {
    let (e, id) = one_step().await;
    assert_eq!(e.submit(&only(&e).await, outcome).await, "rejected");
    e.process().await;
    assert_eq!(e.step_state(id, "a").await, "error");
    let message =
        e.text("select error ->> 'message' from tasker.steps where task_id = $1", id).await;
    assert!(message.contains(why), "{message}");
}

/// It would repeat forever.
#[tokio::test]
async fn a_checkpoint_without_progress_fails_the_step_for_good() {
    let (e, id) = one_step().await;
    assert_eq!(e.submit(&only(&e).await, checkpoint(1)).await, "accepted");
    assert_eq!(e.submit(&only(&e).await, checkpoint(1)).await, "rejected");
    e.process().await;
    assert_eq!(e.step_state(id, "a").await, "error");
    let message =
        e.text("select error ->> 'message' from tasker.steps where task_id = $1", id).await;
    assert!(message.contains("no progress"), "{message}");
}

/// Two steps in one call, one of them saving its state: each gets its own answer.
#[tokio::test]
async fn checkpoints_and_results_go_in_one_call() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).await;
    let id = e.start().await;
    let claims = e.claim(9).await;
    let element = |claim: &Claim, outcome: Value| {
        json!({
            "task_id": id,
            "step": claim.step,
            "claim_no": claim.claim_no,
            "outcome": outcome,
        })
    };
    let results = json!([
        element(&claims[0], checkpoint(1)),
        element(&claims[1], json!({"type": "success", "result": 2}))
    ]);
    for call in ["submit_results", "complete_steps"] {
        let answers: Vec<(String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select step, status from tasker.{call}($1, $2) order by step"
        )))
        .bind(e.worker)
        .bind(&results)
        .fetch_all(e.pool())
        .await
        .unwrap();
        let expected = if call == "submit_results" { "accepted" } else { "duplicate" };
        assert_eq!(
            answers,
            [("a".to_owned(), expected.to_owned()), ("b".to_owned(), expected.to_owned())]
        );
    }
    e.process().await;
    assert_invariants(e.pool()).await;
    assert_eq!(e.drain().await, ["a", "c"]);
    assert_eq!(e.task_state(id).await, "complete");
}

/// What a worker sends that took its own step again: the results of both claims, in one call.
async fn submit_both(e: &Engine, claims: [&Claim; 2], outcomes: [Value; 2]) -> Vec<String> {
    let results: Vec<Value> = claims
        .iter()
        .zip(outcomes)
        .map(|(claim, outcome)| {
            json!({
                "task_id": claim.task_id,
                "step": claim.step,
                "claim_no": claim.claim_no,
                "outcome": outcome,
            })
        })
        .collect();
    sqlx::query_scalar("select status from tasker.submit_results($1, $2)")
        .bind(e.worker)
        .bind(json!(results))
        .fetch_all(e.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_lost_claims_checkpoint_does_not_stand_in_the_way_of_the_claim_that_counts() {
    let (e, id) = one_step().await;
    let lost = only(&e).await;
    e.expire_leases().await;
    let counts = only(&e).await;
    let answers = submit_both(&e, [&lost, &counts], [checkpoint(1), checkpoint(2)]).await;
    assert_eq!(answers, ["stale", "accepted"]);
    assert_eq!(e.step_state(id, "a").await, "enqueued");
    assert_eq!(only(&e).await.checkpoint.unwrap()["cursor"], json!(2));
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_lost_claims_success_does_not_hide_that_a_decision_is_missing() {
    let e = Engine::new().await;
    e.apply(growing_flow(&[("route", "decision", &[]), ("a", "standard", &["route"])])).await;
    let id = e.start().await;
    let lost = only(&e).await;
    e.expire_leases().await;
    let counts = only(&e).await;
    let success = || json!({"type": "success", "result": null});
    assert_eq!(
        submit_both(&e, [&lost, &counts], [success(), success()]).await,
        ["stale", "rejected"]
    );
    e.process().await;
    assert_eq!(e.step_state(id, "route").await, "error");
}
