//! What the processes export is what docs/metrics.md lists, and it counts what has happened.

use crate::support::{Folder, command, start, stop, tasker};
use metrics_exporter_prometheus::PrometheusBuilder;
use pgtasker_tests::{
    TestDb, eventually,
    metrics_docs::{Documented, OF_CONSUMERS, OF_LANGUAGES, documented_in},
};
use pgtasker_worker::{CancellationToken, EventConsumer, StepError};
use prometheus_parse::{Scrape, Value};
use serde_json::json;
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Child,
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(40);

/// One step of its own for each thing that may happen.
const TEMPLATES: &str = "\
namespace: shop
name: NAME
version: '1'
steps:
  - name: only
    handler: { callable: CALLABLE, config: CONFIG }
    retry: { max_attempts: ATTEMPTS, backoff_base_ms: 0, jitter: false }
";

/// By somebody who will never submit a result.
const CLAIM: &str = "select task_id from tasker.claim_steps('shop', gen_random_uuid(), 1, '1 s')";

/// A process of the program with its metrics.
struct Process {
    child: Child,
    address: String,
}

/// Free a moment ago.
async fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

async fn get(address: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

impl Process {
    async fn start(url: &str, args: &[&str]) -> Self {
        let address = free_address().await;
        let child = start(command(
            Some(url),
            &std::env::temp_dir(),
            &[args, &["--metrics", &address]].concat(),
        ));
        let process = Self { child, address };
        eventually("a healthy process", PATIENCE, async || {
            process.get("/health").await.starts_with("HTTP/1.1 200")
        })
        .await;
        process
    }

    async fn get(&self, path: &str) -> String {
        get(&self.address, path).await
    }

    async fn metrics(&self) -> Exported {
        let answer = self.get("/metrics").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        Exported::new(body)
    }

    /// Waits until the samples of this metric with these labels add up to `least` or more.
    async fn counts(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        eventually(&format!("{name} {labels:?} of {least}"), PATIENCE, async || {
            let sum = self.metrics().await.sum(name, labels);
            if sum >= least { Ok(()) } else { Err(sum) }
        })
        .await;
    }
}

struct Exported {
    scrape: Scrape,
    text: String,
}

impl Exported {
    fn new(text: &str) -> Self {
        let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
        Self { scrape, text: text.to_owned() }
    }

    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matches = |sample: &&prometheus_parse::Sample| {
            sample.metric == name
                && labels.iter().all(|(key, value)| sample.labels.get(key) == Some(value))
        };
        let value = |sample: &prometheus_parse::Sample| match &sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
            Value::Histogram(buckets) => {
                buckets.iter().map(|bucket| bucket.count).fold(0.0, f64::max)
            }
            Value::Summary(_) => f64::NAN,
        };
        self.scrape.samples.iter().filter(matches).map(value).sum()
    }

    /// The metrics of this scrape as the documentation would describe them; each must have HELP and
    /// one set of labels.
    fn described(&self) -> BTreeMap<String, Documented> {
        let mut all: BTreeMap<String, Documented> = BTreeMap::new();
        for sample in &self.scrape.samples {
            let kind = match &sample.value {
                Value::Counter(_) => "counter",
                Value::Gauge(_) => "gauge",
                Value::Histogram(_) => "histogram",
                // Sum and count of a histogram, which has its buckets too.
                Value::Untyped(_) if self.is_part_of_a_histogram(&sample.metric) => continue,
                Value::Untyped(_) | Value::Summary(_) => {
                    panic!("{} has no type, or quantiles", sample.metric)
                }
            };
            assert!(self.scrape.docs.contains_key(&sample.metric), "no HELP: {}", sample.metric);
            let mut labels: Vec<String> = sample.labels.keys().cloned().collect();
            labels.sort();
            let this = Documented { kind: kind.to_owned(), labels };
            let first = all.entry(sample.metric.clone()).or_insert_with(|| this.clone());
            assert_eq!(*first, this, "{} has samples of two forms", sample.metric);
        }
        all
    }

    fn is_part_of_a_histogram(&self, metric: &str) -> bool {
        let whole = metric.strip_suffix("_sum").or_else(|| metric.strip_suffix("_count"));
        whole.is_some_and(|whole| self.text.contains(&format!("# TYPE {whole} histogram\n")))
    }
}

async fn apply(
    db: &TestDb,
    folder: &Folder,
    name: &str,
    callable: &str,
    config: &str,
    attempts: u32,
) {
    let text = TEMPLATES
        .replace("NAME", name)
        .replace("CALLABLE", callable)
        .replace("CONFIG", config)
        .replace("ATTEMPTS", &attempts.to_string());
    let file = folder.write(&format!("{name}.yaml"), &text);
    tasker(&db.url, &["template", "apply", &file]).await.ok();
}

async fn enqueue(pool: &PgPool, name: &str) -> Uuid {
    sqlx::query_scalar("select tasker.enqueue_task('shop', $1)")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Claims one step as soon as there is one.
async fn claim(pool: &PgPool) {
    eventually("a step to claim", PATIENCE, async || {
        sqlx::query_scalar::<_, Uuid>(CLAIM).fetch_optional(pool).await.unwrap()
    })
    .await;
}

async fn state(pool: &PgPool, task: Uuid, expected: &str) {
    eventually(&format!("the task to be {expected}"), PATIENCE, async || {
        let state: String =
            sqlx::query_scalar("select state::text from tasker.tasks where task_id = $1")
                .bind(task)
                .fetch_one(pool)
                .await
                .unwrap();
        if state == expected { Ok(()) } else { Err(state) }
    })
    .await;
}

async fn templates(db: &TestDb, folder: &Folder) {
    sqlx::raw_sql(
        "create schema shop;
         grant usage on schema shop to public;
         create function shop.refuse(jsonb) returns jsonb language plpgsql as $$ begin raise \
         exception 'no' using errcode = 'TKP01'; end $$;
         create function shop.fail(jsonb) returns jsonb language plpgsql as $$ begin raise \
         exception 'not now'; end $$;
         create function shop.take(jsonb) returns jsonb language sql as $$ select '1'::jsonb $$",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    apply(db, folder, "fine", "noop", "{}", 3).await;
    apply(db, folder, "once", "noop", "{}", 1).await;
    apply(db, folder, "exact", "sql", "{ function: shop.take }", 1).await;
    apply(db, folder, "flaky", "sql", "{ function: shop.fail }", 2).await;
    apply(db, folder, "broken", "sql", "{ function: shop.refuse }", 3).await;
    apply(db, folder, "slow", "sleep", "{ ms: 4000 }", 5).await;
}

#[tokio::test]
async fn what_is_exported_is_what_is_documented_and_it_counts_what_happens() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    templates(&db, &folder).await;
    let (_, url) = db.login(&["tasker_orchestrator"]).await;
    let api = free_address().await;
    let orchestrator = Process::start(&url, &["orchestrator", "--http", &api, "--http-open"]).await;
    eventually("the API", PATIENCE, async || {
        get(&api, "/health").await.starts_with("HTTP/1.1 200")
    })
    .await;
    for kind in ["queues", "tasks", "dead_letters"] {
        orchestrator.counts("tasker_gauges_read_timestamp_seconds", &[("kind", kind)], 1.0).await;
    }
    let at_start = orchestrator.metrics().await.described();
    let worker =
        leases_run_out(&db.pool, &orchestrator, &db.login(&["tasker_worker"]).await.1).await;
    let slow = a_result_is_stale(&db.pool, &worker).await;
    let broken = steps_fail(&db.pool, &orchestrator, &worker).await;
    state(&db.pool, slow, "complete").await;
    tasks_are_counted(&db.pool, &orchestrator, broken).await;
    assert_eq!(worker.metrics().await.sum("tasker_push_alive", &[]), 1.0);
    all_actors_work(&orchestrator.metrics().await);

    let by_orchestrator = orchestrator.metrics().await.described();
    let by_worker = worker.metrics().await.described();
    for (name, documented) in &by_orchestrator {
        // Metrics with labels from the database are not there yet.
        let later =
            documented.labels.iter().any(|label| ["state", "template"].contains(&label.as_str()));
        assert!(later || at_start.contains_key(name), "{name} is not there from the start");
    }
    let mut exported = by_orchestrator;
    exported.extend(by_worker);
    assert_eq!(
        json!(differences(
            &exported,
            &documented_in(|section| ![OF_CONSUMERS, OF_LANGUAGES].contains(&section))
        )),
        json!([])
    );
    for process in [orchestrator, worker] {
        assert_eq!(stop(process.child).await.code, Some(0));
    }
}

/// Steps are claimed by somebody who never submits them: a worker gets them when the leases have
/// run out.
async fn leases_run_out(pool: &PgPool, orchestrator: &Process, url: &str) -> Process {
    let (leased, once) = (enqueue(pool, "fine").await, enqueue(pool, "once").await);
    claim(pool).await;
    claim(pool).await;
    let last = "update tasker.steps set lease_losses = (select max_lease_losses from \
        tasker.settings) where task_id = $1";
    sqlx::query(last).bind(once).execute(pool).await.unwrap();
    let worker = Process::start(url, &["worker", "--namespace", "shop"]).await;
    state(pool, leased, "complete").await;
    worker.counts("tasker_lease_expiries_total", &[], 1.0).await;
    state(pool, once, "blocked_by_failures").await;
    orchestrator.counts("tasker_lease_expiries_total", &[], 1.0).await;
    worker
}

/// A step is taken away from the worker while it runs.
async fn a_result_is_stale(pool: &PgPool, worker: &Process) -> Uuid {
    let slow = enqueue(pool, "slow").await;
    eventually("the step to run", PATIENCE, async || {
        let sql = "select 1 from tasker.steps where task_id = $1 and state = 'in_progress'";
        sqlx::query(sql).bind(slow).fetch_optional(pool).await.unwrap().is_some()
    })
    .await;
    worker.counts("tasker_worker_steps_held", &[], 1.0).await;
    // In one transaction, so that the worker does not claim it again itself.
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("select pgmq.set_vt('worker_shop_queue', msg_id, 0) from pgmq.q_worker_shop_queue")
        .execute(&mut *transaction)
        .await
        .unwrap();
    // For long enough that the worker learns of it before it has the step again.
    let taken: Uuid = sqlx::query_scalar(
        "select task_id from tasker.claim_steps('shop', gen_random_uuid(), 1, '6 s')",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    assert_eq!(taken, slow);
    transaction.commit().await.unwrap();
    worker.counts("tasker_results_total", &[("status", "stale")], 1.0).await;
    worker.counts("tasker_claims_lost_total", &[("status", "stale")], 1.0).await;
    slow
}

/// Returns a task that is blocked.
async fn steps_fail(pool: &PgPool, orchestrator: &Process, worker: &Process) -> Uuid {
    let (exact, flaky) = (enqueue(pool, "exact").await, enqueue(pool, "flaky").await);
    let broken = enqueue(pool, "broken").await;
    state(pool, exact, "complete").await;
    state(pool, flaky, "blocked_by_failures").await;
    state(pool, broken, "blocked_by_failures").await;
    orchestrator.counts("tasker_steps_retried_total", &[], 1.0).await;
    orchestrator.counts("tasker_steps_failed_total", &[], 3.0).await;
    for reason in ["max_retries_exceeded", "permanent_failure"] {
        orchestrator.counts("tasker_dead_letters_pending", &[("reason", reason)], 1.0).await;
    }
    for (outcome, least) in
        [("success", 2.0), ("retryable", 2.0), ("permanent", 1.0), ("own_transaction", 1.0)]
    {
        worker.counts("tasker_handler_outcomes_total", &[("outcome", outcome)], least).await;
    }
    broken
}

/// Those that are there are shown, those that are gone are not any more, and those that have
/// finished are counted.
async fn tasks_are_counted(pool: &PgPool, orchestrator: &Process, broken: Uuid) {
    let open = [("namespace", "shop"), ("template", "broken"), ("state", "blocked_by_failures")];
    orchestrator.counts("tasker_tasks", &open, 1.0).await;
    orchestrator.counts("tasker_steps", &[("template", "broken"), ("state", "failed")], 1.0).await;
    orchestrator.counts("tasker_workers", &[("namespace", "shop")], 1.0).await;
    sqlx::query("select tasker.cancel_task($1)").bind(broken).execute(pool).await.unwrap();
    // What finished less than ten seconds ago is counted later: the engine's clock goes on.
    sqlx::query("select tasker.set_clock(null, '20 s')").execute(pool).await.unwrap();
    for (template, state) in [("fine", "complete"), ("broken", "cancelled")] {
        let labels = [("namespace", "shop"), ("template", template), ("state", state)];
        orchestrator.counts("tasker_tasks_finished_total", &labels, 1.0).await;
    }
    orchestrator.counts("tasker_task_seconds", &[("template", "slow")], 1.0).await;
    let seen = orchestrator.metrics().await;
    assert_eq!(seen.sum("tasker_tasks", &open), 0.0, "no gauge stays on an old value");
    assert_eq!(seen.sum("tasker_tasks_finished_total", &[("template", "fine")]), 1.0, "each once");
}

/// Each process had a role that may do its part and nothing else.
fn all_actors_work(seen: &Exported) {
    assert_eq!(seen.sum("tasker_orchestrator_errors_total", &[]), 0.0, "{}", seen.text);
    for actor in [
        "task_requests",
        "result_processor",
        "step_enqueuer",
        "task_finalizer",
        "queue_gauges",
        "task_gauges",
        "pruner",
    ] {
        assert!(seen.sum("tasker_orchestrator_calls_total", &[("actor", actor)]) > 0.0, "{actor}");
    }
}

/// What is not the same on both sides.
fn differences(
    exported: &BTreeMap<String, Documented>,
    documented: &BTreeMap<String, Documented>,
) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> =
        exported.keys().chain(documented.keys()).collect();
    let differs = |name: &&&String| exported.get(**name) != documented.get(**name);
    names
        .iter()
        .filter(differs)
        .map(|name| {
            format!(
                "{name}: exported {:?}, docs/metrics.md {:?}",
                exported.get(*name),
                documented.get(*name)
            )
        })
        .collect()
}

/// Sends an event for each thing that a handler may do.
async fn send_events(db: &TestDb) {
    for what in ["fine", "once more", "never", "endless"] {
        let event = json!({
            "id": Uuid::now_v7(),
            "name": "paid",
            "version": "1.0",
            "namespace": "shop",
            "template": "paid",
            "task_id": Uuid::now_v7(),
            "step": "only",
            "claim_no": 1,
            "time": "2026-01-31T12:00:00Z",
            "payload": what,
        });
        sqlx::query("select pgmq.send('shop_domain_events', $1)")
            .bind(event)
            .execute(&db.pool)
            .await
            .unwrap();
    }
}

/// No process of ours runs one: here it is in the program of somebody else.
#[tokio::test]
async fn what_an_event_consumer_exports_is_what_is_documented_and_it_counts_what_happens() {
    let recorder = PrometheusBuilder::new().set_buckets(&[0.1, 1.0]).unwrap().build_recorder();
    // For this thread, the only one of this test's runtime.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (db, folder) = (TestDb::new().await, Folder::new());
    let template = TEMPLATES
        .replace("NAME", "paid")
        .replace("CALLABLE", "noop")
        .replace("CONFIG", "{}")
        .replace("ATTEMPTS", "1");
    let file =
        folder.write("paid.yaml", &format!("{template}    publishes_events: [{{ name: paid }}]\n"));
    tasker(&db.url, &["template", "apply", &file]).await.ok();
    send_events(&db).await;
    let (_, url) = db.login(&["tasker_consumer"]).await;
    let pool =
        pgtasker_worker::connect(&pgtasker_worker::DbOptions::new(url, "consumer")).await.unwrap();
    let failed = AtomicBool::new(false);
    let consumer = EventConsumer::builder(pool)
        .namespace("shop")
        .handler(move |event| {
            let first = event.payload == json!("once more") && !failed.swap(true, Ordering::SeqCst);
            async move {
                match event.payload.as_str() {
                    Some("never") => Err(StepError::permanent("no")),
                    Some("endless") => std::future::pending().await,
                    _ if first => Err(StepError::retryable("not now")),
                    _ => Ok(()),
                }
            }
        })
        .backoff(Duration::ZERO, Duration::ZERO)
        .grace(Duration::from_millis(50))
        .build()
        .unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(consumer.run(shutdown.clone()));
    let seen = || Exported::new(&recorder.handle().render());
    eventually("two events to be done", PATIENCE, async || {
        seen().sum("tasker_events_consumed_total", &[("status", "done")]) >= 2.0
    })
    .await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let seen = seen();
    for (status, times) in [("done", 2.0), ("retried", 1.0), ("dead", 1.0), ("returned", 1.0)] {
        let labels = [("namespace", "shop"), ("status", status)];
        assert_eq!(seen.sum("tasker_events_consumed_total", &labels), times, "{status}");
    }
    assert_eq!(seen.sum("tasker_event_handler_seconds", &[("namespace", "shop")]), 5.0);
    let everywhere = documented_in(|section| section == "Every process");
    let own = |(name, what): &(String, Documented)| everywhere.get(name) != Some(what);
    let described = seen.described();
    // It exports no spans, which its program has to turn on, and has no actor that could stall.
    let absent = |name: &str| name.contains("_spans_") || name == "tasker_actor_stalled";
    let missing: Vec<&String> =
        everywhere.keys().filter(|name| !described.contains_key(*name) && !absent(name)).collect();
    assert_eq!(missing, Vec::<&String>::new());
    let exported = described.into_iter().filter(own).collect();
    assert_eq!(
        json!(differences(&exported, &documented_in(|section| section == OF_CONSUMERS))),
        json!([])
    );
}
