//! Calls that meet at the wrong moment, one paused in the middle of its transaction: nothing gets
//! stuck, and no more is locked than is needed.

use pgtasker_tests::{
    engine::{Engine, flow},
    eventually,
    invariants::assert_invariants,
};
use serde_json::json;
use sqlx::{Postgres, Transaction};
use std::time::Duration;
use uuid::Uuid;

/// A task that fails as a whole when one of its steps does.
async fn failing_flow(steps: &[(&str, &[&str])]) -> Engine {
    let e = Engine::new().await;
    let mut template = flow(steps);
    template["on_failure"] = json!("fail");
    e.apply(template).await;
    e
}

async fn holding(e: &Engine, step: &str) -> Transaction<'static, Postgres> {
    let mut tx = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.steps where name = $1 for update")
        .bind(step)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx
}

async fn fail_for_good(e: &Engine, step: &str, claims: &[pgtasker_tests::engine::Claim]) {
    let claim = claims.iter().find(|c| c.step == step).unwrap();
    e.submit(claim, json!({"type": "failure", "message": "no", "retryable": false})).await;
    e.process().await;
}

#[tokio::test]
async fn a_held_step_that_outlives_its_task_does_not_stop_the_sweep() {
    let e = failing_flow(&[("a", &[]), ("b", &[]), ("c", &["b"])]).await;
    let id = e.start().await;
    let claims = e.claim(2).await;
    sqlx::query("select tasker.pause_namespace('test')").execute(e.pool()).await.unwrap();
    e.succeed(claims.iter().find(|c| c.step == "b").unwrap(), json!(1)).await;
    e.process().await;
    // Cancelling passes over c, which somebody holds at this moment.
    let held = holding(&e, "c").await;
    fail_for_good(&e, "a", &claims).await;
    held.rollback().await.unwrap();
    assert_eq!(
        (e.task_state(id).await.as_str(), e.step_state(id, "c").await.as_str()),
        ("error", "pending")
    );
    // As it stood in a database of an earlier version.
    sqlx::query(
        "insert into tasker.held_steps (task_id, step, namespace, priority) values ($1, \
        'c', 'test', 0) on conflict do nothing",
    )
    .bind(id)
    .execute(e.pool())
    .await
    .unwrap();
    let other = e.start().await;
    sqlx::query("select tasker.resume_namespace('test')").execute(e.pool()).await.unwrap();
    assert_eq!(e.enqueue_ready().await, 2, "a and b of the other task");
    assert_eq!(
        (e.task_state(other).await.as_str(), e.step_state(id, "c").await.as_str()),
        ("steps_in_process", "pending")
    );
    let left: i64 = sqlx::query_scalar("select count(*) from tasker.held_steps")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

/// A failed task whose step b is still in progress, its lease run out.
async fn failed_with_a_leftover(e: &Engine) -> Uuid {
    let id = e.start().await;
    let claims = e.claim(2).await;
    let held = holding(e, "b").await;
    fail_for_good(e, "a", &claims).await;
    held.rollback().await.unwrap();
    assert_eq!(
        (e.task_state(id).await.as_str(), e.step_state(id, "b").await.as_str()),
        ("error", "in_progress")
    );
    e.expire_leases().await;
    id
}

#[tokio::test]
async fn a_reset_waits_for_a_claim_that_cancels_a_leftover_step() {
    let e = failing_flow(&[("a", &[]), ("b", &[])]).await;
    let id = failed_with_a_leftover(&e).await;
    let mut claiming = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.claim_steps('test', gen_random_uuid(), 10)")
        .execute(&mut *claiming)
        .await
        .unwrap();
    let mut resetting = e.pool().acquire().await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *resetting).await.unwrap();
    let reset = tokio::spawn(async move {
        sqlx::query_scalar::<_, bool>("select tasker.reset_task($1)")
            .bind(id)
            .fetch_one(&mut *resetting)
            .await
    });
    eventually("the reset to wait for the claim", Duration::from_secs(2), || async {
        let waits = "select cardinality(pg_blocking_pids($1)) > 0";
        sqlx::query_scalar::<_, bool>(waits).bind(pid).fetch_one(e.pool()).await.unwrap()
    })
    .await;
    claiming.commit().await.unwrap();
    assert!(reset.await.unwrap().unwrap());
    assert_invariants(e.pool()).await;
    e.enqueue_ready().await;
    e.drain().await;
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn a_claim_leaves_a_leftover_step_alone_while_its_task_is_being_reset() {
    let e = failing_flow(&[("a", &[]), ("b", &[])]).await;
    let id = failed_with_a_leftover(&e).await;
    let mut resetting = e.pool().begin().await.unwrap();
    sqlx::query("select tasker.reset_task($1)").bind(id).execute(&mut *resetting).await.unwrap();
    assert!(e.claim(10).await.is_empty());
    assert_eq!(e.depth("worker_test_queue").await, 1, "b's message is left");
    resetting.commit().await.unwrap();
    assert_invariants(e.pool()).await;
    e.enqueue_ready().await;
    e.expire_leases().await;
    e.drain().await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn the_safety_net_locks_only_what_it_mends() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    sqlx::query("select tasker.enqueue_task('test', 'flow') from generate_series(1, 200)")
        .execute(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    for claim in e.claim(100).await {
        e.succeed(&claim, json!(1)).await;
    }
    e.clock(600).await;
    // Their tasks have stood still for ten minutes; of the steps three have lost their message, the
    // others wait.
    sqlx::query(
        "update tasker.steps set updated_at = tasker.now(), enqueued_at = tasker.now() \
        where task_id not in (select task_id from tasker.tasks order by 1 limit 3)",
    )
    .execute(e.pool())
    .await
    .unwrap();
    let mut sweeping = e.pool().begin().await.unwrap();
    let resent: i32 = sqlx::query_scalar("select resent from tasker.finalize_tasks(10)")
        .fetch_one(&mut *sweeping)
        .await
        .unwrap();
    let free: i64 = sqlx::query_scalar(
        "select count(*) from (select from tasker.tasks for no key update skip locked) t",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((resent, free), (3, 197));
    sweeping.rollback().await.unwrap();
}

#[tokio::test]
async fn a_senseless_duration_costs_nothing_but_itself() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[])]).await;
    e.start().await;
    let results: Vec<_> = e
        .claim(2)
        .await
        .iter()
        .zip([json!(-1e30), json!(7)])
        .map(|(c, duration)| {
            json!({
                "task_id": c.task_id,
                "step": c.step,
                "claim_no": c.claim_no,
                "duration_ms": duration,
                "outcome": {"type": "success"},
            })
        })
        .collect();
    let statuses: Vec<String> =
        sqlx::query_scalar("select status from tasker.submit_results($1, $2)")
            .bind(e.worker)
            .bind(json!(results))
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert_eq!(statuses, ["accepted", "accepted"]);
}
