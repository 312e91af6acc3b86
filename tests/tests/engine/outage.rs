//! The database goes away and comes back: every process waits for it, says so in its health, and
//! goes on with what it holds.

use crate::world::{SOON, World};
use pgtasker_core::{
    db::{DbOptions, connect},
    health::Health,
};
use pgtasker_orchestrator::Orchestrator;
use pgtasker_tests::{Network, Proxy, TestDb, eventually, start_server};
use pgtasker_worker::{CancellationToken, StepOutcome, Worker, WorkerBuilder};
#[allow(dead_code, reason = "each test file uses some of it")]
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinHandle};
use uuid::Uuid;

/// `test.flow`: a chain of steps with one handler.
fn chain(handler: &str, names: &[&str]) -> Value {
    let mut parents: Vec<&str> = Vec::new();
    let steps: Vec<Value> = names
        .iter()
        .map(|&name| {
            let step = json!({
                "name": name,
                "dependencies": parents,
                "handler": {"callable": handler},
                "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false},
            });
            parents = vec![name];
            step
        })
        .collect();
    json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})
}

/// A worker that is built by the test, with its health.
struct Observed {
    health: Health,
    shutdown: CancellationToken,
    ended: JoinHandle<pgtasker_core::Result<()>>,
}

impl Observed {
    async fn worker(url: &str, register: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        let pool = connect(&DbOptions::new(url, "worker")).await.unwrap();
        let worker = register(Worker::builder(pool).namespace("test")).build().unwrap();
        let (health, shutdown) = (worker.health(), CancellationToken::new());
        assert_eq!(health.status().reason.as_deref(), Some("starting"));
        Self { health, ended: tokio::spawn(worker.run(shutdown.clone())), shutdown }
    }

    async fn orchestrator(url: &str) -> Self {
        let pool = connect(&DbOptions::new(url, "orchestrator").max_connections(5)).await.unwrap();
        let orchestrator = Orchestrator::builder(pool).build().unwrap();
        let (health, shutdown) = (orchestrator.health(), CancellationToken::new());
        Self { health, ended: tokio::spawn(orchestrator.run(shutdown.clone())), shutdown }
    }

    async fn is(&self, healthy: bool) {
        eventually(if healthy { "good health" } else { "bad health" }, SOON, async || {
            let status = self.health.status();
            if status.healthy == healthy { Ok(()) } else { Err(status) }
        })
        .await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap().unwrap();
        assert_eq!(self.health.status().reason.as_deref(), Some("stopped"));
    }
}

/// Completions of the steps of all tasks: how many, of how many steps, and the highest claim
/// number.
async fn completions(world: &World) -> (i64, i64, i32) {
    sqlx::query_as(
        "select count(*), count(distinct (t.task_id, t.name)), max(s.claim_no)
           from tasker.step_transitions t join tasker.steps s using (task_id, name) where \
           t.to_state = 'complete'",
    )
    .fetch_one(&world.db.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_result_held_through_an_outage_is_delivered_and_counts_once() {
    let world = World::new().await;
    world.apply(chain("work", &["a", "b"])).await;
    let proxy = Proxy::to(&world.db.url).await;
    let url = proxy.url(&world.db.url);
    let orchestrator = Observed::orchestrator(&url).await;
    let (runs, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, wait) = (Arc::clone(&runs), Arc::clone(&go));
    let worker = Observed::worker(&url, |w| {
        w.handler("work", move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let wait = Arc::clone(&wait);
            async move {
                wait.acquire().await?.forget();
                Ok(StepOutcome::success(()))
            }
        })
    })
    .await;
    orchestrator.is(true).await;
    worker.is(true).await;
    let ids: Vec<Uuid> = [world.enqueue(json!({})).await, world.enqueue(json!({})).await].into();
    eventually("both first steps to run", SOON, async || runs.load(Ordering::SeqCst) == 2).await;

    proxy.set(Network::Down);
    let (cut, attempts) = (Instant::now(), proxy.attempts());
    orchestrator.is(false).await;
    worker.is(false).await;
    assert!(cut.elapsed() < Duration::from_secs(8), "told after {:?}", cut.elapsed());
    assert!(worker.health.status().reason.unwrap().starts_with("the database is away"));
    go.add_permits(4);
    eventually("more connections to be tried", SOON, async || proxy.attempts() - attempts >= 20)
        .await;
    // With growing waits that takes a second or more, with a busy loop some milliseconds.
    let outage = cut.elapsed();
    assert!(outage > Duration::from_millis(250), "a busy loop: twenty connections in {outage:?}");

    proxy.set(Network::Up);
    for id in ids {
        assert_eq!(world.ended(id).await, "complete");
    }
    worker.is(true).await;
    orchestrator.is(true).await;
    assert_eq!(completions(&world).await, (4, 4, 1), "each once, and by its first claim");
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    worker.stop().await;
    orchestrator.stop().await;
}

#[tokio::test]
async fn a_database_that_says_nothing_makes_them_unhealthy_within_seconds() {
    let world = World::new().await;
    world.apply(chain("noop", &["a"])).await;
    let proxy = Proxy::to(&world.db.url).await;
    let url = proxy.url(&world.db.url);
    let orchestrator = Observed::orchestrator(&url).await;
    let worker = Observed::worker(&url, |w| w).await;
    orchestrator.is(true).await;
    worker.is(true).await;
    proxy.set(Network::Silent);
    orchestrator.is(false).await;
    worker.is(false).await;
    // The calls that hang on their connections go on with them.
    proxy.set(Network::Up);
    orchestrator.is(true).await;
    worker.is(true).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    worker.stop().await;
    orchestrator.stop().await;
}

#[tokio::test]
async fn calls_that_hang_on_a_host_that_is_gone_are_given_up_soon_after_another_took_over() {
    let world = World::with(chain("noop", &["a", "b"])).await;
    let proxy = Proxy::to(&world.db.url).await;
    let url = proxy.url(&world.db.url);
    let worker = Observed::worker(&url, |builder| builder).await;
    let orchestrator = Observed::orchestrator(&url).await;
    worker.is(true).await;
    orchestrator.is(true).await;
    proxy.set(Network::Silent);
    worker.is(false).await;
    orchestrator.is(false).await;
    let moved = Instant::now();
    proxy.set(Network::Moved);
    worker.is(true).await;
    orchestrator.is(true).await;
    let id = world.enqueue(json!({})).await;
    eventually("the task to complete", Duration::from_secs(45), async || {
        let status = pgtasker_client::calls::task_status(&world.db.pool, id).await.unwrap();
        status.is_settled()
    })
    .await;
    // TCP would take many minutes, and a call's own limit is one.
    assert!(moved.elapsed() < Duration::from_secs(40), "{:?}", moved.elapsed());
    worker.stop().await;
    orchestrator.stop().await;
}

#[tokio::test]
async fn an_error_of_a_function_of_the_application_is_no_outage() {
    let world = World::with(json!({"namespace": "test", "name": "flow", "version": "1", "steps": [
        {"name": "a", "handler": {"callable": "sql", "config": {"function": "public.far_away"}},
         "retry": {"max_attempts": 5, "backoff_base_ms": 0, "jitter": false}}]}))
    .await;
    sqlx::raw_sql(
        "create function public.far_away(jsonb) returns jsonb language plpgsql as
         $$ begin raise exception 'could not connect to another server' using errcode = '08001'; \
         end $$",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let worker = Observed::worker(&world.db.url, |builder| builder).await;
    let orchestrator = Observed::orchestrator(&world.db.url).await;
    worker.is(true).await;
    let since = worker.health.status().since;
    // Many, so that such failures come in a row.
    let mut tasks = Vec::new();
    for _ in 0..60 {
        tasks.push(world.enqueue(json!({})).await);
    }
    for id in tasks {
        assert_eq!(world.ended(id).await, "blocked_by_failures");
    }
    assert_eq!(
        (worker.health.is_healthy(), worker.health.status().since),
        (true, since),
        "never doubted"
    );
    worker.stop().await;
    orchestrator.stop().await;
}

#[tokio::test]
async fn steps_complete_once_through_crashes_of_the_server() {
    const TASKS: i64 = 60;
    let mut server = start_server(&[]).await;
    let world = World { db: TestDb::on(&server).await, poll_only: false };
    world.apply(chain("work", &["a", "b", "c", "d"])).await;
    let orchestrators =
        [Observed::orchestrator(&world.db.url).await, Observed::orchestrator(&world.db.url).await];
    let slow = |w: WorkerBuilder| {
        // A claim whose answer a crash has swallowed waits for its lease.
        w.concurrency(8).lease(Duration::from_secs(2)).handler("work", |_| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(StepOutcome::success(()))
        })
    };
    let workers =
        [Observed::worker(&world.db.url, slow).await, Observed::worker(&world.db.url, slow).await];
    sqlx::query("select count(tasker.enqueue_task('test', 'flow')) from generate_series(1, $1)")
        .bind(TASKS)
        .execute(&world.db.pool)
        .await
        .unwrap();
    let completed = async || {
        let count = "select count(*) from tasker.steps where state = 'complete'";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&world.db.pool).await
    };
    for at_least in [20, 80, 140] {
        eventually("some to be complete", SOON, async || match completed().await {
            Ok(n) if n >= at_least => Ok(()),
            other => Err(other),
        })
        .await;
        server.restart_immediate().await.unwrap();
    }
    eventually("all tasks to complete", SOON * 2, async || {
        let count = "select count(*) from tasker.tasks where state = 'complete'";
        match sqlx::query_scalar::<_, i64>(count).fetch_one(&world.db.pool).await {
            Ok(TASKS) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let (all, different, _) = completions(&world).await;
    assert_eq!((all, different), (4 * TASKS, 4 * TASKS));
    for running in workers.into_iter().chain(orchestrators) {
        running.is(true).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_worker_whose_leases_run_out_is_not_healthy() {
    let mut template = chain("work", &["a"]);
    // The worker takes its own step again each time the lease has run out.
    template["steps"][0]["retry"]["max_attempts"] = json!(1_000);
    let world = World::with(template).await;
    let go = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&go);
    let worker = Observed::worker(&world.db.url, |w| {
        w.lease(Duration::from_secs(1)).handler("work", move |_| {
            let wait = Arc::clone(&wait);
            async move {
                wait.acquire().await?.forget();
                Ok(StepOutcome::success(()))
            }
        })
    })
    .await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("alter function tasker.{from}(uuid, jsonb, interval) rename to {to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&world.db.pool).await.unwrap();
    };
    rename("extend_leases", "gone").await;
    let id = world.enqueue(json!({})).await;
    worker.is(true).await;
    worker.is(false).await;
    assert!(worker.health.status().reason.unwrap().contains("no lease could be extended for 1s"));
    rename("gone", "extend_leases").await;
    worker.is(true).await;
    go.add_permits(1_000);
    assert_eq!(world.ended(id).await, "complete");
    worker.stop().await;
}

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_found_at_the_start_and_after_a_failover() {
    let world = World::new().await;
    world.apply(chain("noop", &["a"])).await;
    // Two ways to one server, and one to a server that takes no writes.
    let (one, other) = (Proxy::to(&world.db.url).await, Proxy::to(&world.db.url).await);
    let standby = start_server(&[("default_transaction_read_only", "on")]).await;
    let admin = format!("{}?options=-c%20default_transaction_read_only=off", standby.admin_url());
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&admin).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("create database {}", world.db.name()));
    sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
    let port = |url: &str| url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let (user, rest) = world.db.url.rsplit_once('@').unwrap();
    let database = rest.split_once('/').unwrap().1;
    let hosts = [
        port(&standby.admin_url()),
        port(&one.url(&world.db.url)),
        port(&other.url(&world.db.url)),
    ]
    .join(",");
    let url =
        format!("{user}@{hosts}/{database}?target_session_attrs=read-write&connect_timeout=5");
    let worker = Observed::worker(&url, |w| w).await;
    let orchestrator = Observed::orchestrator(&url).await;
    let run = async || {
        let id = world.enqueue(json!({})).await;
        assert_eq!(world.ended(id).await, "complete");
    };
    run().await;
    assert_eq!(other.attempts(), 0, "the first that takes writes is used");
    one.set(Network::Down);
    run().await;
    assert!(other.attempts() > 0);
    one.set(Network::Up);
    other.set(Network::Down);
    run().await;
    worker.is(true).await;
    worker.stop().await;
    orchestrator.stop().await;
}
