//! Batches whose instances fail: one that stops at the first failure, and one that continues.

use crate::batches::{batch, engine};
use pgtasker_tests::{
    engine::{Claim, Engine, growing_flow, pick},
    invariants::assert_invariants,
};
use serde_json::json;

async fn fail_for_good(e: &Engine, claim: &Claim) {
    assert_eq!(
        e.submit(claim, json!({"type": "failure", "message": "no", "retryable": false})).await,
        "accepted"
    );
}

#[tokio::test]
async fn one_failure_stops_a_fail_fast_batch_but_for_results_that_are_stored() {
    let e = engine("fail_fast").await;
    let id = batch(&e, json!([1, 2, 3, 4])).await;
    let claims = e.claim(3).await;
    fail_for_good(&e, &claims[0]).await;
    assert_eq!(e.succeed(&claims[1], json!("two")).await, "accepted");
    sqlx::query("select * from tasker.process_step_results(1)").execute(e.pool()).await.unwrap();
    assert_eq!(
        e.graph(id).await,
        [
            "join pending",
            "split complete",
            "work_001 error",
            "work_002 enqueued_for_orchestration",
            "work_003 cancelled",
            "work_004 cancelled"
        ]
    );
    assert_eq!(e.task_state(id).await, "steps_in_process", "one result is left");
    assert_invariants(e.pool()).await;
    assert_eq!(e.succeed(&claims[2], json!("three")).await, "stale");
    e.process().await;
    assert_eq!(e.step_state(id, "work_002").await, "complete");
    assert_eq!(e.task_state(id).await, "blocked_by_failures");
    assert_invariants(e.pool()).await;

    // Everything that did not end runs again.
    sqlx::query("select tasker.retry_tasks('{\"namespace\":\"test\"}')")
        .execute(e.pool())
        .await
        .unwrap();
    assert_eq!(e.enqueue_ready().await, 3);
    let again = e.drain().await;
    assert_eq!(again, ["work_001", "work_003", "work_004", "join"]);
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_failure_that_is_tried_again_stops_nothing() {
    let e = engine("fail_fast").await;
    let id = batch(&e, json!([1, 2])).await;
    let claims = e.claim(9).await;
    assert_eq!(e.fail(&claims[0]).await, "accepted");
    e.process().await;
    assert_eq!(
        e.graph(id).await,
        ["join pending", "split complete", "work_001 pending", "work_002 in_progress"]
    );
}

#[tokio::test]
async fn a_failure_stops_only_its_own_batch() {
    let e = Engine::new().await;
    e.apply(growing_flow(&[
        ("split", "batchable", &[]),
        ("work", "batch_worker", &["split"]),
        ("split2", "batchable", &[]),
        ("work2", "batch_worker", &["split2"]),
        ("aside", "standard", &[]),
    ]))
    .await;
    let id = e.start().await;
    let claims = e.claim(9).await;
    for split in ["split", "split2"] {
        e.split(&pick(&claims, split), json!([1, 2])).await;
    }
    e.process().await;
    fail_for_good(&e, &pick(&e.claim(9).await, "work_001")).await;
    e.process().await;
    let states = [
        "aside in_progress",
        "split complete",
        "split2 complete",
        "work2_001 in_progress",
        "work2_002 in_progress",
        "work_001 error",
        "work_002 cancelled",
    ];
    assert_eq!(e.graph(id).await, states);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_batch_that_continues_tells_the_next_step_what_failed() {
    let e = engine("continue_on_failure").await;
    let id = batch(&e, json!([1, 2, 3])).await;
    let claims = e.claim(9).await;
    e.succeed(&claims[0], json!("one")).await;
    fail_for_good(&e, &claims[1]).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "steps_in_process");
    e.succeed(&claims[2], json!("three")).await;
    e.process().await;
    let join = pick(&e.claim(9).await, "join");
    assert_eq!(
        join.parents,
        json!({"work": {"instances": 3, "complete": 2, "failed": 1, "results": ["one", "three"]}})
    );
    let retry =
        sqlx::query("select tasker.retry_step($1, 'work_002')").bind(id).execute(e.pool()).await;
    let refusal = retry.unwrap_err();
    assert_eq!(refusal.as_database_error().unwrap().code().unwrap(), "TK033");
    e.succeed(&join, json!(1)).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "complete", "the failed one does not block it");
    assert_invariants(e.pool()).await;
    let counts: (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select instances, complete, failed, items_done, items_total from tasker.batch_overview \
         where task_id = $1",
    )
    .bind(id)
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(counts, (3, 2, 1, 2, 3));
}

/// Also where all of it fails.
#[tokio::test]
async fn a_batch_that_continues_goes_on_when_every_instance_has_failed() {
    let e = engine("continue_on_failure").await;
    let id = batch(&e, json!([1, 2])).await;
    for claim in e.claim(9).await {
        fail_for_good(&e, &claim).await;
    }
    e.process().await;
    let join = pick(&e.claim(9).await, "join");
    assert_eq!(
        join.parents["work"],
        json!({"instances": 2, "complete": 0, "failed": 2, "results": []})
    );
    e.succeed(&join, json!(1)).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "complete");
}
