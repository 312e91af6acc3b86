//! Everything behind pgbouncer in transaction mode: few server connections, of which each client
//! gets another one for each transaction.

use crate::support::{Folder, command, start, stop, tasker};
use pgtasker_core::db::{DbOptions, connect};
use pgtasker_tests::{
    Pgbouncer, eventually, handlers::count, invariants::assert_invariants, start_server,
};
use pgtasker_worker::{Batchable, CancellationToken, StepContext, StepError, StepOutcome, Worker};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, PgPool};
use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, process::Child, task::JoinSet};

const SOON: Duration = Duration::from_secs(90);
/// Connections to the server.
const SERVERS: u32 = 4;
const ORDERS: i64 = 60;
const BATCHES: i64 = 4;
const PLAINS: i64 = 20;

const ORDER: &str = "
namespace: test
name: order
version: '1'
steps:
  - { name: ask, handler: { callable: flaky }, retry: { max_attempts: 3, backoff_base_ms: 20 } }
  - { name: reserve, dependencies: [ask], handler: { callable: sql, config: { function: \
  public.reserve } } }
  - { name: pay, dependencies: [ask], handler: { callable: own } }
  - { name: done, dependencies: [reserve, pay], handler: { callable: noop } }
";
const BATCH: &str = "
namespace: test
name: batch
version: '1'
steps:
  - { name: cut, type: batchable, handler: { callable: cut } }
  - { name: count, type: batch_worker, dependencies: [cut], handler: { callable: count } }
  - { name: done, dependencies: [count], handler: { callable: noop } }
";
const PLAIN: &str = "
namespace: plain
name: plain
version: '1'
steps:
  - { name: reserve, handler: { callable: sql, config: { function: public.reserve } } }
  - { name: nap, dependencies: [reserve], handler: { callable: sleep, config: { ms: 5 } } }
";
const EFFECTS: &str = "
    create table reserved (task_id text);
    create table paid (task_id text);
    create table counted (task_id text, item bigint);
    create function reserve(p jsonb) returns jsonb language sql as $$ insert into reserved values \
    (p ->> 'task_id') returning to_jsonb(1) $$;";

/// What the workers of this process log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_env_filter("info,sqlx=off")
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Writes in the step's own transaction; the same statement from every client.
async fn own(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let mut transaction = ctx.begin().await?;
    let id = ctx.task_id().to_string();
    sqlx::query("insert into paid values ($1)").bind(&id).execute(&mut *transaction).await?;
    let paid: i64 = sqlx::query_scalar("select count(*) from paid where task_id = $1")
        .bind(&id)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.complete(paid).await
}

async fn flaky(ctx: StepContext) -> Result<StepOutcome, StepError> {
    match ctx.attempt() {
        1 => Err(StepError::retryable("not yet")),
        _ => Ok(StepOutcome::success(json!({}))),
    }
}

/// A worker of this process with a pool of its own.
async fn worker(url: &str, stop: CancellationToken) {
    let pool =
        connect(&DbOptions::new(url, "own-worker").max_connections(8).pooled(true)).await.unwrap();
    let worker = Worker::builder(pool.clone())
        .namespace("test")
        .poll_only(true)
        .poll_interval(Duration::from_millis(50))
        .concurrency(16)
        .handler("flaky", flaky)
        .handler("own", own)
        .handler("cut", |ctx| async move { ctx.batches(ctx.split(0..12, 4)) })
        .handler("count", count);
    worker.build().unwrap().run(stop).await.unwrap();
    pool.close().await;
}

fn service(url: &str, args: &[&str]) -> Child {
    let more = ["--poll-only", "--poll-interval", "50ms"];
    start(command(Some(url), &std::env::temp_dir(), &[args, &more].concat()))
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// By the commands that an operator has.
async fn operate(url: &str, done: &str) {
    assert!(tasker(url, &["task", "show", done]).await.ok().contains("complete"));
    assert_eq!(tasker(url, &["--json", "task", "list"]).await.json().as_array().unwrap().len(), 20);
    let run_at = ["--json", "task", "enqueue", "test.order", "--run-at", "1h"];
    let later = tasker(url, &run_at).await.json();
    let later = later["task_id"].as_str().unwrap();
    tasker(url, &["task", "cancel", later, "--reason", "not needed"]).await.ok();
    tasker(url, &["task", "resolve", done]).await.failed();
    assert!(tasker(url, &["template", "list"]).await.ok().contains("order"));
    assert!(tasker(url, &["template", "show", "test.batch"]).await.ok().contains("count"));
    tasker(url, &["namespace", "pause", "test", "--reason", "a look"]).await.ok();
    tasker(url, &["namespace", "limit", "test", "1000"]).await.ok();
    tasker(url, &["namespace", "resume", "test"]).await.ok();
    assert!(tasker(url, &["queue", "list"]).await.ok().contains("test"));
    let entry = tasker(url, &["--json", "dead-letter", "add", done]).await.json();
    let entry = entry["entry_id"].as_str().unwrap();
    tasker(url, &["dead-letter", "update", entry, "--status", "permanent_failure"]).await.ok();
    tasker(url, &["dead-letter", "list"]).await.ok();
    tasker(url, &["prune"]).await.ok();
    tasker(url, &["migrate"]).await.ok();
}

/// Every order was paid and reserved once, every item counted once.
async fn each_effect_once(direct: &PgPool) {
    for (sql, wanted) in [
        ("select count(*) from (select distinct task_id from paid) x", ORDERS),
        ("select count(*) from paid", ORDERS),
        ("select count(*) from (select distinct task_id from reserved) x", ORDERS + PLAINS),
        ("select count(*) from reserved", ORDERS + PLAINS),
        ("select count(*) from (select distinct task_id, item from counted) x", 12 * BATCHES),
        ("select count(*) from counted", 12 * BATCHES),
    ] {
        assert_eq!(number(direct, sql).await, wanted, "{sql}");
    }
}

/// No process had anything to complain about, nor had the server about a process. On a slow machine
/// pgbouncer may take longer to open a connection than a process waits for one.
fn no_errors(of: &str, log: &str, words: &[&str]) {
    let is_bad = |line: &&str| {
        words.iter().any(|word| line.contains(word))
            && !line.contains("there are fewer connections")
    };
    let bad: Vec<&str> = log.lines().filter(is_bad).collect();
    assert!(bad.is_empty(), "{of}:\n{}", bad.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_behind_pgbouncer_in_transaction_mode() {
    let server = start_server(&[]).await;
    let Some(pgbouncer) = Pgbouncer::start(&server, SERVERS).await else { return };
    let mut admin = PgConnection::connect(&server.admin_url()).await.unwrap();
    sqlx::raw_sql("create database app").execute(&mut admin).await.unwrap();
    let (url, folder, log) = (pgbouncer.url("app"), Folder::new(), Log::start());
    tasker(&url, &["migrate"]).await.ok();
    for (name, text) in [("order.yaml", ORDER), ("batch.yaml", BATCH), ("plain.yaml", PLAIN)] {
        tasker(&url, &["template", "apply", &folder.write(name, text)]).await.ok();
    }
    let direct = PgPool::connect(&server.url("app")).await.unwrap();
    sqlx::raw_sql(EFFECTS).execute(&direct).await.unwrap();

    let (shutdown, mut workers) = (CancellationToken::new(), JoinSet::new());
    for _ in 0..3 {
        let (url, stop) = (url.clone(), shutdown.clone());
        workers.spawn(async move { worker(&url, stop).await });
    }
    let mut killed = service(&url, &["orchestrator", "--http", "off"]);
    let others = [
        service(&url, &["orchestrator", "--http", "off"]),
        service(&url, &["worker", "--namespace", "plain"]),
    ];
    for (namespace, name, tasks) in
        [("test", "order", ORDERS), ("test", "batch", BATCHES), ("plain", "plain", PLAINS)]
    {
        sqlx::query("select tasker.enqueue_task($1, $2) from generate_series(1, $3)")
            .bind(namespace)
            .bind(name)
            .bind(tasks)
            .execute(&direct)
            .await
            .unwrap();
    }
    eventually("some of the work to be done", SOON, async || {
        number(&direct, "select count(*) from paid").await > ORDERS / 4
    })
    .await;
    killed.kill().await.unwrap();
    let (clients, servers) = pgbouncer.connections("app").await;
    assert!(clients > 3 * servers && servers <= SERVERS as usize, "{clients} share {servers}");
    // Free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let next = service(&url, &["orchestrator", "--http", &free, "--http-open"]);
    eventually("all tasks to be complete", SOON, async || {
        let sql = "select state::text, count(*) from tasker.tasks group by 1";
        let states: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&direct).await.unwrap();
        if states == [("complete".to_owned(), ORDERS + BATCHES + PLAINS)] {
            Ok(())
        } else {
            Err(states)
        }
    })
    .await;

    each_effect_once(&direct).await;
    let waited = tasker(&url, &["--json", "task", "enqueue", "test.order", "--wait"]).await.json();
    operate(&url, find(&waited, "task_id")).await;
    let shown = ["--api", &format!("http://{free}"), "task", "show", find(&waited, "task_id")];
    assert!(tasker(&url, &shown).await.ok().contains("complete"), "the HTTP API works there too");
    assert_invariants(&direct).await;
    shutdown.cancel();
    workers.join_all().await;
    for process in others.into_iter().chain([next]) {
        let end = stop(process).await;
        assert_eq!(end.code, Some(0), "{end:?}");
        // As anybody may log in there, everybody is the server's superuser.
        let told: Vec<&str> =
            end.stderr.lines().filter(|line| !line.contains("is a superuser")).collect();
        no_errors("a process", &told.join("\n"), &["WARN", "ERROR"]);
    }
    no_errors("a worker", &log.text(), &["WARN", "ERROR"]);
    let log = std::fs::read_to_string(server.log_path()).unwrap();
    no_errors("PostgreSQL", &log, &["ERROR:", "WARNING:", "PANIC:"]);
    no_errors("pgbouncer", &pgbouncer.log(), &["ERROR", "FATAL", "WARNING"]);
}

/// A text anywhere in a document.
fn find<'a>(document: &'a Value, key: &str) -> &'a str {
    document.get(key).or_else(|| document["task"].get(key)).and_then(Value::as_str).unwrap()
}
