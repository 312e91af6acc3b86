//! Decisions at the same time: one that is submitted twice, two orchestrators, and many tasks.

use crate::{
    conditions::with,
    dynamic::{CHOICE, complete, only, steps_there, task},
};
use pgtasker_tests::{
    engine::{Engine, growing_flow, pick},
    invariants::assert_invariants,
};
use serde_json::json;
use std::time::Duration;

/// Two submits of one decision, the second while the first is processed: one set of children.
#[tokio::test]
async fn a_decision_that_is_submitted_twice_creates_once() {
    let (e, id) = task(CHOICE).await;
    complete(&e, &only(&e, "a").await).await;
    let choose = only(&e, "choose").await;
    assert_eq!(e.decide(&choose, &["short"]).await, "accepted");
    assert_eq!(e.decide(&choose, &["long1"]).await, "duplicate");
    e.process().await;
    assert_eq!(e.decide(&choose, &["long1"]).await, "duplicate");
    e.process().await;
    assert_eq!(
        steps_there(e.pool(), id).await,
        ["a complete", "choose complete", "meet pending", "short enqueued"]
    );
}

/// Two orchestrators take a result each; the second waits for the task.
async fn process_at_once(e: &Engine) {
    e.let_results_wait().await;
    let mut first = e.pool().begin().await.unwrap();
    sqlx::query("select * from tasker.process_step_results(1)").execute(&mut *first).await.unwrap();
    let pool = e.pool().clone();
    let second = tokio::spawn(async move {
        sqlx::query("select * from tasker.process_step_results(1)").execute(&pool).await.unwrap();
    });
    pgtasker_tests::eventually(
        "the second to wait for the first",
        Duration::from_secs(5),
        || async {
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity where \
            datname = current_database() and wait_event_type = 'Lock'",
            )
            .fetch_one(e.pool())
            .await
            .unwrap();
            if waiting > 0 { Ok(()) } else { Err(waiting) }
        },
    )
    .await;
    first.commit().await.unwrap();
    second.await.unwrap();
}

/// Both decide in batches of their own at the same time: the second waits for the first, and then
/// knows of it.
#[tokio::test]
async fn two_orchestrators_with_a_decision_each_create_the_step_below_both_once() {
    let (e, id) =
        task(&[("d1", "decision", &[]), ("d2", "decision", &[]), ("x", "standard", &["d1", "d2"])])
            .await;
    for claim in e.claim(9).await {
        assert_eq!(e.decide(&claim, &["x"]).await, "accepted");
    }
    process_at_once(&e).await;
    assert_eq!(steps_there(e.pool(), id).await, ["d1 complete", "d2 complete", "x enqueued"]);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn the_decisions_of_many_tasks_are_made_in_one_batch_at_the_same_cost_each() {
    let e = Engine::new().await;
    e.apply(growing_flow(&[
        ("route", "decision", &[]),
        ("a", "standard", &["route"]),
        ("b", "standard", &["route"]),
        ("end", "deferred", &["a", "b"]),
    ]))
    .await;
    sqlx::query(
        "select tasker.enqueue_tasks('test', 'flow', array(select '{}'::jsonb from \
         generate_series(1, 500)))",
    )
    .execute(e.pool())
    .await
    .unwrap();
    sqlx::query("select tasker.start_tasks(500)").execute(e.pool()).await.unwrap();
    for claim in e.claim(500).await {
        assert_eq!(e.decide(&claim, &["a"]).await, "accepted");
    }
    let begun = std::time::Instant::now();
    let enqueued: i32 = sqlx::query_scalar("select enqueued from tasker.process_step_results(500)")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(enqueued, 500);
    // A quarter of a second; where each looked through all the others it took six.
    assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
}

/// The same for a condition: the second end judges it, once, whether an orchestrator or the
/// worker's own call brings it.
#[tokio::test]
async fn a_condition_below_two_steps_that_end_at_the_same_time_is_judged_once() {
    let e = Engine::new().await;
    let when = json!({"when": "$.parents.d1 == 1 && $.errors.d2.code == \"no\"",
                      "dependencies": ["d1", {"step": "d2", "on": "failed"}]});
    let steps: &[(&str, &str, &[&str])] =
        &[("d1", "standard", &[]), ("d2", "standard", &[]), ("x", "standard", &[])];
    e.apply(with(steps, &[("x", when)])).await;
    let failure = json!({"type": "failure", "message": "no", "code": "no", "retryable": false});
    let id = e.start().await;
    let claims = e.claim(9).await;
    assert_eq!(e.succeed(&pick(&claims, "d1"), json!(1)).await, "accepted");
    assert_eq!(e.submit(&pick(&claims, "d2"), failure.clone()).await, "accepted");
    process_at_once(&e).await;
    let there = ["d1 complete", "d2 error", "x enqueued"];
    assert_eq!(steps_there(e.pool(), id).await, there);
    let verdicts = "select count(*)::text from tasker.step_verdicts where task_id = $1";
    assert_eq!(e.text(verdicts, id).await, "1");

    // The task is held when the worker calls: its result goes by the queue.
    let id = e.start().await;
    let claims = e.claim(9).await;
    assert_eq!(e.submit(&pick(&claims, "d2"), failure).await, "accepted");
    e.let_results_wait().await;
    let mut first = e.pool().begin().await.unwrap();
    sqlx::query("select * from tasker.process_step_results(1)").execute(&mut *first).await.unwrap();
    let d1 = pick(&claims, "d1");
    let status: String =
        sqlx::query_scalar("select status from tasker.complete_steps($1, $2, 9, '{noop}')")
            .bind(e.worker)
            .bind(json!([{"task_id": id, "step": "d1", "claim_no": d1.claim_no,
                          "outcome": {"type": "success", "result": 1}}]))
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(status, "accepted");
    first.commit().await.unwrap();
    e.process().await;
    assert_eq!(steps_there(e.pool(), id).await, there);
    assert_eq!(e.text(verdicts, id).await, "1");
    assert_invariants(e.pool()).await;
}
