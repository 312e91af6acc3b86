//! Tasks that are late: the sweep makes dead letters of those that stand still, and of those whose
//! handler no live worker has. The clock is frozen; nothing sleeps.

use crate::dead_letters::{entries, pair, pending, update};
use pgtasker_tests::engine::{Engine, flow};
use serde_json::json;
use sqlx::PgExecutor;
use uuid::Uuid;

const MINUTE: i32 = 60;

/// For the next 1,000 unfinished tasks: (staleness_timeout, worker_unavailable).
async fn sweep(executor: impl PgExecutor<'_>) -> (i32, i32) {
    sqlx::query_as("select staleness_timeout, worker_unavailable from tasker.sweep_stale(1000)")
        .fetch_one(executor)
        .await
        .unwrap()
}

async fn beat(e: &Engine, namespace: &str, handlers: &[&str]) {
    sqlx::query("select tasker.heartbeat($1, array[$2], $3)")
        .bind(e.worker)
        .bind(namespace)
        .bind(handlers)
        .execute(e.pool())
        .await
        .unwrap();
}

/// Everything about a task that an entry must not change.
async fn all_of(e: &Engine, id: Uuid) -> String {
    e.text(
        "select (to_jsonb(t) || jsonb_build_object('steps', (select jsonb_agg(to_jsonb(s) order \
         by s.name) from tasker.steps s where s.task_id = t.task_id),
                 'hops', (select count(*) from tasker.task_transitions a where a.task_id = \
                 t.task_id)))::text
           from tasker.tasks t where t.task_id = $1",
        id,
    )
    .await
}

#[tokio::test]
async fn a_task_that_stands_still_becomes_one_and_is_not_changed_by_it() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    assert_eq!(e.claim(1).await.len(), 1);
    assert_eq!(sweep(e.pool()).await, (0, 0));
    e.clock(30 * MINUTE - 10).await;
    assert_eq!(sweep(e.pool()).await, (0, 0));
    let before = all_of(&e, id).await;
    e.clock(30 * MINUTE + 10).await;
    // Somebody works on the task: the sweep neither waits for it nor needs it.
    let mut holder = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.tasks for update").execute(&mut *holder).await.unwrap();
    sqlx::query("select from tasker.steps for update").execute(&mut *holder).await.unwrap();
    let mut sweeper = e.pool().acquire().await.unwrap();
    sqlx::query("set lock_timeout = '2s'").execute(&mut *sweeper).await.unwrap();
    assert_eq!(sweep(&mut *sweeper).await, (1, 0));
    holder.rollback().await.unwrap();
    assert_eq!(entries(e.pool(), id).await, [pair("staleness_timeout", "pending")]);
    assert_eq!(all_of(&e, id).await, before);
    e.clock(60 * MINUTE).await;
    assert_eq!(sweep(e.pool()).await, (0, 0), "it has one");
    assert_eq!(e.drain().await, [] as [String; 0]);
}

#[tokio::test]
async fn the_thresholds_are_the_templates_or_the_settings_by_state() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[])]);
    template["steps"][0]["retry"] = json!({
        "max_attempts": 3,
        "backoff_base_ms": 3_600_000,
        "max_backoff_ms": 3_600_000,
        "jitter": false,
    });
    template["lifecycle"] =
        json!({"max_waiting_for_retry_minutes": 10, "max_duration_minutes": 50.5});
    e.apply(template).await;
    e.clock(0).await;
    let id = e.start().await;
    e.fail(&e.claim(1).await[0]).await;
    e.process().await;
    let staleness = async |seconds| {
        e.clock(seconds).await;
        sqlx::query_as::<_, (String, String, f64, Option<f64>)>(
            "select state::text, staleness, minutes_in_state::float8, threshold_minutes::float8 \
             from tasker.task_staleness where task_id = $1",
        )
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap()
    };
    let seen = async |seconds| staleness(seconds).await.1;
    let (state, _, minutes, threshold) = staleness(5 * MINUTE).await;
    assert_eq!((state.as_str(), threshold), ("waiting_for_retry", Some(10.0)));
    assert!((minutes - 5.0).abs() < 0.1, "{minutes}");
    assert_eq!(seen(8 * MINUTE - 10).await, "healthy");
    assert_eq!(seen(8 * MINUTE + 10).await, "warning");
    assert_eq!(seen(10 * MINUTE + 10).await, "stale");
    // An operator lets it fail: no threshold of its state any more, but its whole duration counts.
    e.clock(20 * MINUTE).await;
    sqlx::query("update tasker.steps set available_at = tasker.now()")
        .execute(e.pool())
        .await
        .unwrap();
    e.enqueue_ready().await;
    e.submit(&e.claim(1).await[0], json!({"type": "failure", "message": "no", "retryable": false}))
        .await;
    e.process().await;
    let (state, healthy, _, threshold) = staleness(40 * MINUTE).await;
    assert_eq!(
        (state.as_str(), healthy.as_str(), threshold),
        ("blocked_by_failures", "healthy", None)
    );
    assert_eq!(seen(41 * MINUTE).await, "warning");
    assert_eq!(seen(51 * MINUTE).await, "stale");
    assert_eq!(sweep(e.pool()).await, (0, 0), "it has an entry since it failed for good");
    update(e.pool(), pending(e.pool(), id).await, Some("permanent_failure"), "", "ana").await;
    assert_eq!(seen(52 * MINUTE).await, "stale");
    assert_eq!(sweep(e.pool()).await, (1, 0));
    let detail = e
        .text(
            "select detail from tasker.dead_letters where task_id = $1 and status = 'pending'",
            id,
        )
        .await;
    assert!(detail.starts_with("not finished after 52"), "{detail}");
}

#[tokio::test]
async fn before_its_start_time_a_task_is_not_late() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    sqlx::query(
        "select tasker.enqueue_task('test', 'flow', p_run_at => tasker.now() + interval '3 days')",
    )
    .execute(e.pool())
    .await
    .unwrap();
    e.initialize().await;
    let three_days = 3 * 24 * 60 * MINUTE;
    e.clock(three_days + 59 * MINUTE).await;
    assert_eq!(sweep(e.pool()).await, (0, 0));
    e.clock(three_days + 61 * MINUTE).await;
    assert_eq!(sweep(e.pool()).await, (1, 0), "ready for an hour, and nobody sent it");
}

#[tokio::test]
async fn a_handler_that_no_live_worker_has_is_one_after_a_while() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[]), ("b", &[])]);
    template["steps"][1]["handler"]["callable"] = json!("rare");
    e.apply(template).await;
    e.clock(0).await;
    let id = e.start().await;
    // A worker without the handler takes the step again and again, and gives it back.
    for minute in 0..6 {
        e.clock(minute * MINUTE).await;
        beat(&e, "test", &["noop"]).await;
        beat_as(&e, "elsewhere", &["rare"]).await;
        for claim in e.claim(9).await.iter().filter(|claim| claim.step == "b") {
            release(&e, claim.task_id, claim.claim_no).await;
        }
        e.expire_leases().await;
        assert_eq!(sweep(e.pool()).await.1, i32::from(minute == 5), "minute {minute}");
    }
    let (step, detail): (String, String) =
        sqlx::query_as("select step, detail from tasker.dead_letters where task_id = $1")
            .bind(id)
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(step, "b");
    assert!(detail.contains("no live worker of namespace test has the handler rare"), "{detail}");
}

#[tokio::test]
async fn a_step_that_waits_long_for_a_worker_that_lives_is_none() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    e.clock(6 * MINUTE).await;
    beat(&e, "test", &["noop"]).await;
    assert_eq!(sweep(e.pool()).await, (0, 0), "the worker is busy");
    e.clock(6 * MINUTE + 31).await;
    assert_eq!(sweep(e.pool()).await, (0, 1), "its heartbeat is too old");
    assert_eq!(entries(e.pool(), id).await, [pair("worker_unavailable", "pending")]);
}

#[tokio::test]
async fn a_worker_that_resolves_any_handler_serves_its_own_namespaces_only() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = e.start().await;
    e.clock(6 * MINUTE).await;
    beat(&e, "test", &["*", "other"]).await;
    assert_eq!(sweep(e.pool()).await, (0, 0), "it may have the handler");
    e.clock(6 * MINUTE + 31).await;
    beat(&e, "elsewhere", &["*"]).await;
    assert_eq!(sweep(e.pool()).await, (0, 1), "another namespace is not served by it");
    assert_eq!(entries(e.pool(), id).await, [pair("worker_unavailable", "pending")]);
}

async fn beat_as(e: &Engine, namespace: &str, handlers: &[&str]) {
    sqlx::query("select tasker.heartbeat('00000000-0000-0000-0000-000000000001', array[$1], $2)")
        .bind(namespace)
        .bind(handlers)
        .execute(e.pool())
        .await
        .unwrap();
}

async fn release(e: &Engine, task_id: Uuid, claim_no: i32) {
    sqlx::query("select * from tasker.release_steps($1, $2)")
        .bind(e.worker)
        .bind(json!([{"task_id": task_id, "step": "b", "claim_no": claim_no}]))
        .execute(e.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_sweep_goes_on_where_it_stopped_and_one_process_sweeps() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    for _ in 0..250 {
        e.enqueue(json!({})).await;
    }
    e.initialize().await;
    e.clock(2000 * MINUTE).await;
    let call = || {
        sqlx::query_as::<_, (i32, bool)>(
            "select staleness_timeout + worker_unavailable, more from tasker.sweep_stale(200)",
        )
        .fetch_one(e.pool())
    };
    let mut other = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.sweeps where name = 'staleness' for update")
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(call().await.unwrap(), (0, false), "another process sweeps");
    other.rollback().await.unwrap();
    assert_eq!(call().await.unwrap(), (100, true), "at most 100 entries a call");
    assert_eq!(call().await.unwrap(), (100, true));
    assert_eq!(call().await.unwrap(), (50, false), "round");
    assert_eq!(call().await.unwrap(), (0, false), "and not again at once");
}
