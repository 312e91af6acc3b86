//! The clock of the server goes back: what waits for a time waits for as long as was meant, and no
//! longer.

use pgtasker_tests::engine::{Engine, flow};
use serde_json::json;
use sqlx::{query, query_scalar};
use uuid::Uuid;

async fn seconds_until(e: &Engine, id: Uuid) -> f64 {
    query_scalar(
        "select extract(epoch from available_at - tasker.now())::float8 from tasker.steps where \
         task_id = $1",
    )
    .bind(id)
    .fetch_one(e.pool())
    .await
    .unwrap()
}

async fn sweep(e: &Engine) {
    query("select tasker.finalize_tasks(100)").execute(e.pool()).await.unwrap();
}

#[tokio::test]
async fn a_retry_waits_for_as_long_as_was_meant() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[])]);
    template["steps"][0]["retry"]["backoff_base_ms"] = json!(20_000);
    e.apply(template).await;
    let id = e.start().await;
    let claim = e.claim(1).await.remove(0);
    e.clock(3600).await;
    e.fail(&claim).await;
    e.process().await;
    e.clock(0).await;
    sweep(&e).await;
    let seconds = seconds_until(&e, id).await;
    assert!((0.0..=21.0).contains(&seconds), "{seconds}");
    e.clock(25).await;
    assert_eq!(e.enqueue_ready().await, 1);
}

#[tokio::test]
async fn a_wait_beyond_any_retry_is_shortened_and_a_start_time_is_not() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let late = e.start().await;
    e.fail(&e.claim(1).await.remove(0)).await;
    e.process().await;
    let planned: Uuid = query_scalar(
        "select tasker.enqueue_task('test', 'flow', p_run_at => tasker.now() + interval '2 hours')",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    e.initialize().await;
    query(
        "update tasker.steps set available_at = clock_timestamp() + interval '1 hour' where \
        task_id = $1",
    )
    .bind(late)
    .execute(e.pool())
    .await
    .unwrap();
    sweep(&e).await;
    assert!(seconds_until(&e, late).await < 61.0);
    assert!(seconds_until(&e, planned).await > 7_000.0);
}

#[tokio::test]
async fn a_claim_ends_with_its_lease() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(3600).await;
    sweep(&e).await;
    e.start().await;
    e.claim(1).await;
    // As it was written an hour ahead.
    query(
        "update pgmq.q_worker_test_queue set vt = vt + interval '1 hour', last_read_at = \
        last_read_at + interval '1 hour'",
    )
    .execute(e.pool())
    .await
    .unwrap();
    e.clock(0).await;
    sweep(&e).await;
    let seconds: f64 = query_scalar(
        "select extract(epoch from vt - clock_timestamp())::float8 from pgmq.q_worker_test_queue",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert!((0.0..=31.0).contains(&seconds), "{seconds}");
}
