//! The whole, run in this process: orchestrators and workers on a database of the test's own, real
//! handlers, real queues. What is waited for is waited for with a deadline.

use crate::world::{SOON, World};
use pgtasker_tests::eventually;
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// `test.flow`: steps by name, handler, and dependencies, with three attempts and no backoff.
fn flow(steps: &[(&str, &str, &[&str])]) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|(name, handler, parents)| {
            json!({"name": name, "dependencies": parents, "handler": {"callable": handler},
                   "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false}})
        })
        .collect();
    json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})
}

/// One step, `only`, of the handler `work`.
fn single() -> Value {
    flow(&[("only", "work", &[])])
}

async fn done(ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(ctx.attempt()))
}

#[derive(Deserialize)]
struct Amount {
    value: i64,
}

fn amount(value: i64) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(json!({"value": value})))
}

#[tokio::test]
async fn a_diamond_runs_with_real_handlers_and_typed_parents() {
    let world = World::with(flow(&[
        ("first", "take", &[]),
        ("left", "double", &["first"]),
        ("right", "add_one", &["first"]),
        ("last", "sum", &["left", "right"]),
    ]))
    .await;
    let worker = world
        .worker(|w| {
            w.handler("take", |ctx| async move { amount(ctx.context::<Amount>()?.value) })
                .handler(
                    "double",
                    |ctx| async move { amount(ctx.parent::<Amount>("first")?.value * 2) },
                )
                .handler("add_one", |ctx| async move {
                    amount(ctx.parent::<Amount>("first")?.value + 1)
                })
                .handler("sum", |ctx| async move {
                    amount(
                        ctx.parent::<Amount>("left")?.value + ctx.parent::<Amount>("right")?.value,
                    )
                })
        })
        .await;
    let id = world.enqueue(json!({"value": 5})).await;
    assert_eq!(world.result(id).await, json!({"last": {"value": 16}}));
    worker.stop().await;
}

#[tokio::test]
async fn a_context_that_fails_the_schema_ends_in_error_and_names_the_field() {
    let mut template = single();
    template["input_schema"] = json!({
        "type": "object",
        "required": ["order_id"],
        "properties": {"order_id": {"type": "integer"}},
    });
    let world = World::with(template).await;
    let worker = world.worker(|w| w.handler("work", done)).await;
    let bad = world.enqueue(json!({"order_id": "seven"})).await;
    let good = world.enqueue(json!({"order_id": 7})).await;
    assert_eq!(world.result(good).await, json!({"only": 1}));
    assert_eq!(world.ended(bad).await, "error");
    let (error, steps): (Value, i64) =
        sqlx::query_as("select error, steps from tasker.task_overview where task_id = $1")
            .bind(bad)
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
    assert!(error["message"].as_str().unwrap().contains("order_id"), "{error}");
    assert_eq!((error["code"].as_str(), steps), (Some("invalid_context"), 0));
    worker.stop().await;
}

#[tokio::test]
async fn a_retryable_error_is_retried_and_a_permanent_one_is_everywhere() {
    let world =
        World::with(flow(&[("flaky", "flaky", &[]), ("broken", "broken", &["flaky"])])).await;
    let worker = world
        .worker(|w| {
            w.handler("flaky", |ctx| async move {
                if ctx.attempt() == 1 { Err(StepError::retryable("busy")) } else { done(ctx).await }
            })
            .handler("broken", |_| async {
                Err(StepError::permanent("card declined").code("declined"))
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (state, attempt, _, error) = world.step(id, "flaky").await;
    assert_eq!((state.as_str(), attempt, error), ("complete", 2, None));
    assert!(world.reasons(id, "flaky").await.iter().any(|r| r == "busy"));

    let (state, attempt, _, error) = world.step(id, "broken").await;
    let error = error.unwrap();
    assert_eq!((state.as_str(), attempt), ("error", 1));
    assert_eq!((&error["message"], &error["code"]), (&json!("card declined"), &json!("declined")));
    assert!(world.reasons(id, "broken").await.iter().any(|r| r == "card declined"));
    let (error, reason): (Value, String) = sqlx::query_as(
        "select t.error, r.reason from tasker.tasks t join tasker.task_transitions r using (task_id)
          where t.task_id = $1 and r.to_state = 'blocked_by_failures'",
    )
    .bind(id)
    .fetch_one(&world.db.pool)
    .await
    .unwrap();
    assert_eq!((&error["message"], &error["step"]), (&json!("card declined"), &json!("broken")));
    assert!(reason.contains("card declined"), "{reason}");
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_retryable_failure() {
    let world = World::with(single()).await;
    let worker = world
        .worker(|w| {
            w.handler("work", |ctx| async move {
                assert!(ctx.attempt() > 1, "not at the first try");
                done(ctx).await
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": 2}));
    let reasons = world.reasons(id, "only").await;
    assert!(reasons.iter().any(|r| r == "handler panicked: not at the first try"), "{reasons:?}");
    worker.stop().await;
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_a_failure() {
    let mut template = single();
    template["steps"][0]["timeout_seconds"] = json!(0.2);
    template["steps"][0]["retry"]["max_attempts"] = json!(1);
    let world = World::with(template).await;
    let worker = world.worker(|w| w.handler("work", |_| std::future::pending())).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let error = world.step(id, "only").await.3.unwrap();
    assert_eq!(
        (&error["message"], &error["code"]),
        (&json!("timed out after 200ms"), &json!("timeout"))
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_step_without_a_handler_here_is_run_by_another_worker() {
    let world = World::with(single()).await;
    let without = world.worker(|w| w).await;
    let id = world.enqueue(json!({})).await;
    eventually("the step to be parked", SOON, async || {
        sqlx::query_scalar::<_, bool>("select exists (select from tasker.parked_steps)")
            .fetch_one(&world.db.pool)
            .await
            .unwrap()
    })
    .await;
    let with =
        world.worker(|w| w.handler("work", done).poll_interval(Duration::from_millis(20))).await;
    assert_eq!(world.result(id).await, json!({"only": 1}));
    let (_, attempt, claim_no, _) = world.step(id, "only").await;
    assert_eq!((attempt, claim_no), (1, 1), "the other has not claimed it");
    without.stop().await;
    with.stop().await;
}

#[tokio::test]
async fn a_shutdown_finishes_what_it_can_and_releases_the_rest_at_once() {
    let world = World::with(flow(&[("long", "long", &[]), ("short", "short", &[])])).await;
    let (started, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (long, short, wait) = (Arc::clone(&started), Arc::clone(&started), Arc::clone(&go));
    let first = world
        .worker(|w| {
            w.grace(Duration::from_millis(500))
                .handler("long", move |_| {
                    long.fetch_add(1, Ordering::SeqCst);
                    std::future::pending()
                })
                .handler("short", move |_| {
                    short.fetch_add(1, Ordering::SeqCst);
                    let wait = Arc::clone(&wait);
                    async move {
                        wait.notified().await;
                        Ok(StepOutcome::success("in time"))
                    }
                })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    eventually("both to run", SOON, async || started.load(Ordering::SeqCst) == 2).await;
    first.shutdown.cancel();
    go.notify_one();
    first.stop().await;
    assert_eq!(world.step(id, "short").await.1, 1);
    assert_eq!(
        world.step(id, "long").await.0,
        "enqueued",
        "released, not left to its lease of 30 s"
    );
    let second = world.worker(|w| w.handler("long", done)).await;
    assert_eq!(world.result(id).await, json!({"long": 1, "short": "in time"}));
    second.stop().await;
}

#[tokio::test]
async fn the_step_of_a_worker_that_vanished_is_run_after_its_lease() {
    let world = World::with(single()).await;
    let id = world.enqueue(json!({})).await;
    eventually("a claim by hand", SOON, async || {
        sqlx::query("select 1 from tasker.claim_steps('test', $1, 1, '1 s')")
            .bind(Uuid::now_v7())
            .fetch_optional(&world.db.pool)
            .await
            .unwrap()
    })
    .await;
    let worker = world.worker(|w| w.handler("work", done)).await;
    assert_eq!(world.result(id).await, json!({"only": 1}), "a lost lease is no attempt");
    worker.stop().await;
}

#[tokio::test]
async fn two_orchestrators_and_two_workers_run_everything_once() {
    const TASKS: i64 = 200;
    let world = World::with(flow(&[
        ("a", "work", &[]),
        ("b", "work", &["a"]),
        ("c", "work", &["a"]),
        ("d", "work", &["b", "c"]),
    ]))
    .await;
    world.orchestrator().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let count = || {
        let runs = Arc::clone(&runs);
        move |ctx: StepContext| {
            runs.fetch_add(1, Ordering::SeqCst);
            done(ctx)
        }
    };
    let workers = [
        world.worker(|w| w.handler("work", count())).await,
        world.worker(|w| w.handler("work", count())).await,
    ];
    sqlx::query("select count(tasker.enqueue_task('test', 'flow')) from generate_series(1, $1)")
        .bind(TASKS)
        .execute(&world.db.pool)
        .await
        .unwrap();
    eventually("all tasks to complete", SOON, async || {
        let n: i64 =
            sqlx::query_scalar("select count(*) from tasker.tasks where state = 'complete'")
                .fetch_one(&world.db.pool)
                .await
                .unwrap();
        if n == TASKS { Ok(()) } else { Err(n) }
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    // Completions and how many different ones, of tasks and of steps.
    let counts: (i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from tasker.task_transitions where to_state = 'complete'),
                (select count(distinct task_id) from tasker.task_transitions where to_state = \
                'complete'),
                (select count(*) from tasker.step_transitions where to_state = 'complete'),
                (select count(distinct (task_id, name)) from tasker.step_transitions where \
                to_state = 'complete')",
    )
    .fetch_one(&world.db.pool)
    .await
    .unwrap();
    assert_eq!(counts, (TASKS, TASKS, 4 * TASKS, 4 * TASKS));
    assert_eq!(runs.load(Ordering::SeqCst) as i64, 4 * TASKS);
}

#[tokio::test]
async fn polling_alone_works() {
    let mut world = World::new().await;
    world.poll_only = true;
    world.apply(flow(&[("a", "noop", &[]), ("b", "noop", &["a"])])).await;
    world.orchestrator().await;
    let worker = world.worker(|w| w).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"b": null}));
    let (listening, push): (i64, bool) = sqlx::query_as(
        "select (select count(*) from pg_stat_activity where datname = current_database() and \
         query ilike 'listen%'),
                (select bool_or(push) from tasker.worker_overview)",
    )
    .fetch_one(&world.db.pool)
    .await
    .unwrap();
    assert_eq!((listening, push), (0, false));
    worker.stop().await;
}

#[tokio::test]
async fn a_template_applied_after_the_worker_started_is_served() {
    let world = World::new().await;
    world.orchestrator().await;
    let worker = world.worker(|w| w.handler("work", done)).await;
    eventually("the worker to be there", SOON, async || {
        sqlx::query("select from tasker.worker_overview")
            .fetch_optional(&world.db.pool)
            .await
            .unwrap()
    })
    .await;
    world.apply(single()).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": 1}));
    worker.stop().await;
}

#[tokio::test]
async fn a_step_longer_than_its_lease_runs_once() {
    let world = World::with(single()).await;
    let (runs, done_waiting) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let slow = || {
        let (runs, done_waiting) = (Arc::clone(&runs), done_waiting.clone());
        move |ctx: StepContext| {
            runs.fetch_add(1, Ordering::SeqCst);
            let done_waiting = done_waiting.clone();
            async move {
                done_waiting.cancelled().await;
                done(ctx).await
            }
        }
    };
    let lease = Duration::from_secs(2);
    let workers = [
        world.worker(|w| w.lease(lease).handler("work", slow())).await,
        world.worker(|w| w.lease(lease).handler("work", slow())).await,
    ];
    let id = world.enqueue(json!({})).await;
    eventually("the first lease to have run out", SOON, async || {
        sqlx::query(
            "select from tasker.steps where task_id = $1 and clock_timestamp() > \
            started_at + interval '2.5 s'",
        )
        .bind(id)
        .fetch_optional(&world.db.pool)
        .await
        .unwrap()
    })
    .await;
    done_waiting.cancel();
    assert_eq!(world.result(id).await, json!({"only": 1}));
    assert_eq!((world.step(id, "only").await.2, runs.load(Ordering::SeqCst)), (1, 1));
    for worker in workers {
        worker.stop().await;
    }
}
