//! Connections that stay open and pass nothing, or of which only one end is left: a proxy, a NAT, a
//! host that is frozen. New ones work, and the users of the old ones have to switch to them.

use crate::world::{SOON, World};
use pgtasker_core::{
    db::{DbOptions, connect},
    session::Session,
};
use pgtasker_tests::{Proxy, eventually};
use pgtasker_worker::{CancellationToken, StepOutcome, Worker};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const LEASE: Duration = Duration::from_secs(2);

fn flow(handler: serde_json::Value) -> serde_json::Value {
    json!({
        "namespace": "test",
        "name": "flow",
        "version": "1",
        "steps": [{
            "name": "only",
            "handler": handler,
            "retry": {"max_attempts": 9, "backoff_base_ms": 0, "jitter": false},
        }],
    })
}

/// Tasks by state.
async fn complete(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from tasker.tasks where state = 'complete'")
        .fetch_one(&world.db.pool)
        .await
        .unwrap()
}

async fn worker(
    url: &str,
    connections: u32,
) -> (tokio::task::JoinHandle<pgtasker_core::Result<()>>, CancellationToken) {
    let options = DbOptions::new(url, "worker").max_connections(connections);
    let pool = connect(&options.session(Session::default().lease(LEASE))).await.unwrap();
    let worker =
        Worker::builder(pool).namespace("test").lease(LEASE).handler("own", own).build().unwrap();
    let shutdown = CancellationToken::new();
    (tokio::spawn(worker.run(shutdown.clone())), shutdown)
}

/// Begins, with patience or without, and completes its step.
async fn own(ctx: pgtasker_worker::StepContext) -> Result<StepOutcome, pgtasker_worker::StepError> {
    for micros in [1, 20, 100, 300, 600] {
        // Dropped in the midst of it, most likely.
        timeout(Duration::from_micros(micros), ctx.begin()).await.ok();
    }
    ctx.begin().await?.complete(()).await
}

#[tokio::test]
async fn a_worker_amid_sql_steps_goes_on_when_its_connections_say_nothing_any_more() {
    let world =
        World::with(flow(json!({"callable": "sql", "config": {"function": "public.nap"}}))).await;
    sqlx::raw_sql(
        "create function public.nap(jsonb) returns jsonb language sql as $$ select 'null'::jsonb \
         from pg_sleep(0.05) $$",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let proxy = Proxy::to(&world.db.url).await;
    let (ended, shutdown) = worker(&proxy.url(&world.db.url), 10).await;
    let tasks = 150;
    for _ in 0..tasks {
        world.enqueue(json!({})).await;
    }
    for some in [10, 60] {
        eventually("some tasks to complete", SOON, async || complete(&world).await >= some).await;
        proxy.silence();
    }
    let silent = Instant::now();
    eventually("all tasks to complete", Duration::from_secs(40), async || {
        let complete = complete(&world).await;
        if complete == tasks { Ok(()) } else { Err(complete) }
    })
    .await;
    println!("all complete {:?} after the silence", silent.elapsed());
    shutdown.cancel();
    timeout(SOON, ended).await.expect("the worker ends").unwrap().unwrap();
}

#[tokio::test]
async fn half_open_connections_stall_nobody_for_much_longer_than_the_lease() {
    let world = World::new().await;
    world.apply(flow(json!({"callable": "noop"}))).await;
    let proxy = Proxy::to(&world.db.url).await;
    let url = proxy.url(&world.db.url);
    let pool = connect(&DbOptions::new(&url, "orchestrator").max_connections(5)).await.unwrap();
    let orchestrator = pgtasker_orchestrator::Orchestrator::builder(pool).build().unwrap();
    tokio::spawn(orchestrator.run(CancellationToken::new()));
    let (_ended, _shutdown) = worker(&url, 6).await;
    let first = world.enqueue(json!({})).await;
    world.result(first).await;
    proxy.half_open();
    let since = Instant::now();
    let second = world.enqueue(json!({})).await;
    eventually("the second task to complete", Duration::from_secs(20), async || {
        pgtasker_client::calls::task_status(&world.db.pool, second).await.unwrap().is_settled()
    })
    .await;
    // It was a minute.
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_abandoned_begin_leaves_no_transaction_open() {
    let world = World::with(flow(json!({"callable": "own"}))).await;
    let (_ended, _shutdown) = worker(&world.db.url, 6).await;
    for _ in 0..60 {
        world.enqueue(json!({})).await;
    }
    eventually("all tasks to complete", SOON, async || complete(&world).await == 60).await;
    eventually("no transaction to be open", SOON, async || {
        let open: Vec<(i32, String)> = sqlx::query_as(
            "select pid, query from pg_stat_activity
              where datname = current_database() and state like 'idle in transaction%'",
        )
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
        if open.is_empty() { Ok(()) } else { Err(open) }
    })
    .await;
}
