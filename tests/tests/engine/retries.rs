//! Retries: when a step that failed runs again.

use pgtasker_tests::engine::{Engine, flow};
use serde_json::{Value, json};

#[tokio::test]
async fn a_failure_is_retried_after_its_backoff_by_the_databases_clock() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[])]);
    template["steps"][0]["retry"] = json!({
        "max_attempts": 3,
        "backoff": "exponential",
        "backoff_base_ms": 10_000,
        "jitter": false,
    });
    e.apply(template).await;
    e.clock(0).await;
    let id = e.start().await;
    e.fail(&e.claim(1).await[0]).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "waiting_for_retry");
    assert_eq!(e.enqueue_ready().await, 0, "not yet");
    let due: i64 = sqlx::query_scalar("select next_due_ms from tasker.enqueue_ready_steps(10)")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(due, 10_000);
    e.clock(11).await;
    assert_eq!(e.enqueue_ready().await, 1);
    assert_eq!(e.task_state(id).await, "steps_in_process");
    e.fail(&e.claim(1).await[0]).await;
    e.process().await;
    let due: i64 = sqlx::query_scalar("select next_due_ms from tasker.enqueue_ready_steps(10)")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(due, 20_000, "exponential");
    e.clock(60).await;
    e.enqueue_ready().await;
    let last = e.claim(1).await.remove(0);
    assert_eq!(last.attempt, 3);
    e.fail(&last).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "blocked_by_failures");
    let error: Value = sqlx::query_scalar("select error from tasker.tasks where task_id = $1")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(error, json!({"step": "a", "message": "boom", "retryable": true, "attempt": 3}));
    assert_eq!(
        e.text(
            "select reason from tasker.step_transitions where task_id = $1 and to_state = 'error'",
            id
        )
        .await,
        "boom"
    );
}

#[tokio::test]
async fn retry_after_goes_before_the_backoff() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    e.start().await;
    e.submit(
        &e.claim(1).await[0],
        json!({"type": "failure", "message": "busy", "code": "http_429", "retry_after_ms": 7000}),
    )
    .await;
    let due: i64 = sqlx::query_scalar("select next_due_ms from tasker.process_step_results(10)")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(due, 7000);
}

#[tokio::test]
async fn the_three_backoffs_and_their_limit() {
    let e = Engine::new().await;
    let pool = e.pool();
    let delays = |backoff: &'static str| async move {
        sqlx::query_scalar::<_, i64>(
            "select tasker.backoff_ms($1, n, 1000, 5000, false) from generate_series(1, 5) n",
        )
        .bind(backoff)
        .fetch_all(pool)
        .await
        .unwrap()
    };
    assert_eq!(delays("exponential").await, [1000, 2000, 4000, 5000, 5000]);
    assert_eq!(delays("linear").await, [1000, 2000, 3000, 4000, 5000]);
    assert_eq!(delays("fixed").await, [1000; 5]);
    let (least, most): (i64, i64) = sqlx::query_as(
        "select min(d), max(d) from (select \
        tasker.backoff_ms('fixed', 1, 1000, 5000, true) d from generate_series(1, 1000)) x",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert!(least >= 500 && most <= 1000 && most - least > 300, "{least} {most}");
}
