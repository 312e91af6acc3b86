//! A step that two workers died with runs alone: whatever comes free meanwhile is for no other.

use crate::world::{SOON, World};
use pgtasker_tests::{
    engine::{Engine, flow},
    eventually,
};
use pgtasker_worker::{StepContext, StepError, StepOutcome, StepSlot, WorkerBuilder};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;
use uuid::Uuid;

/// What the handlers and the test have in common.
#[derive(Default)]
struct Stage {
    /// The place of the handler that goes on after its step's time.
    held: Mutex<Option<StepSlot>>,
    lone_runs: Notify,
    lone_ends: Notify,
    other_runs: Notify,
}

/// Within this, a step that may be claimed is: its worker is told at once, and looks each second.
const CLAIMED: Duration = Duration::from_secs(2);

fn register(builder: WorkerBuilder, stage: &Arc<Stage>) -> WorkerBuilder {
    let (overdue, lone, other) = (Arc::clone(stage), Arc::clone(stage), Arc::clone(stage));
    builder
        .concurrency(2)
        .handler("overdue", move |ctx: StepContext| {
            *overdue.held.lock().unwrap() = Some(ctx.hold_slot());
            std::future::pending::<Result<StepOutcome, StepError>>()
        })
        .handler("lone", move |_| {
            let lone = Arc::clone(&lone);
            async move {
                lone.lone_runs.notify_one();
                lone.lone_ends.notified().await;
                Ok(StepOutcome::success(()))
            }
        })
        .handler("other", move |_| {
            other.other_runs.notify_one();
            async { Ok(StepOutcome::success(())) }
        })
}

async fn enqueue(world: &World, name: &str) -> Uuid {
    let mut template = flow(&[(name, &[])]);
    template["name"] = json!(name);
    template["steps"][0]["handler"]["callable"] = json!(name);
    template["steps"][0]["retry"]["max_attempts"] = json!(1);
    template["steps"][0]["timeout_seconds"] = json!(if name == "overdue" { 1 } else { 60 });
    world.apply(template).await;
    sqlx::query_scalar("select tasker.enqueue_task('test', $1)")
        .bind(name)
        .fetch_one(&world.db.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_place_that_comes_back_while_a_step_runs_alone_is_for_no_other() {
    let mut e = Engine::new().await;
    let world = World { db: e.db, poll_only: false };
    let lone = enqueue(&world, "lone").await;
    e = Engine { db: world.db, worker: e.worker };
    e.initialize().await;
    // Two workers die with it.
    e.worker = Uuid::now_v7();
    assert_eq!(e.claim(1).await.len(), 1);
    e.expire_leases().await;
    e.worker = Uuid::now_v7();
    assert_eq!(e.claim(1).await.len(), 1);
    let world = World { db: e.db, poll_only: false };
    world.orchestrator().await;
    let (stage, overdue) = (Arc::new(Stage::default()), enqueue(&world, "overdue").await);
    let running = world.worker(|builder| register(builder, &stage)).await;
    assert_eq!(world.ended(overdue).await, "blocked_by_failures", "its handler has a place still");
    // Only now the second worker's lease runs out.
    let expire = "select pgmq.set_vt('worker_test_queue', msg_id, 0) from tasker.steps \
        where task_id = $1";
    sqlx::query(expire).bind(lone).execute(&world.db.pool).await.unwrap();
    tokio::time::timeout(SOON, stage.lone_runs.notified()).await.unwrap();
    let held = stage.held.lock().unwrap().take();
    assert!(held.is_some());
    drop(held);
    let other = enqueue(&world, "other").await;
    eventually("it to be ready", SOON, async || {
        let ready = "select 1 from tasker.steps where task_id = $1 and state <> 'pending'";
        sqlx::query(ready).bind(other).fetch_optional(&world.db.pool).await.unwrap()
    })
    .await;
    let beside = tokio::time::timeout(CLAIMED, stage.other_runs.notified()).await;
    assert!(beside.is_err(), "another step runs beside it");
    stage.lone_ends.notify_one();
    assert_eq!(world.ended(lone).await, "complete");
    assert_eq!(world.ended(other).await, "complete");
    running.stop().await;
}
