//! Traces over OTLP and correlation ids, of an orchestrator and a worker as processes of their own.

use crate::support::{command, start, stop};
use pgtasker_tests::{Collector, Span, TestDb, WebServer, eventually};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, process::Child};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(40);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A database with `shop.pay`, whose second step fails for good, and `shop.plain`; and the two
/// processes.
struct Shop {
    db: TestDb,
    web: WebServer,
    processes: [Child; 2],
}

impl Shop {
    /// With these OTEL_ variables.
    async fn open(variables: &[(&str, &str)]) -> Self {
        Self::logging("json", variables).await
    }

    async fn logging(form: &str, variables: &[(&str, &str)]) -> Self {
        let db = TestDb::new().await;
        let web = WebServer::start(&[(200, "{}"), (404, "{}")]).await;
        let call =
            json!({"callable": "http", "config": {"url": format!("http://{}/", web.address)}});
        let step = |name: &str, parents: Value, handler: &Value| {
            json!({
                "name": name,
                "dependencies": parents,
                "handler": handler,
            })
        };
        let noop = json!({"callable": "noop"});
        let templates = [
            (
                "pay",
                json!([step("charge", json!([]), &call), step("tell", json!(["charge"]), &call)]),
            ),
            ("plain", json!([step("a", json!([]), &noop), step("b", json!(["a"]), &noop)])),
        ];
        for (name, steps) in templates {
            let template = json!({
                "namespace": "shop",
                "name": name,
                "version": "1",
                "on_failure": "fail",
                "steps": steps,
            });
            sqlx::query("select * from tasker.apply_template($1)")
                .bind(template)
                .execute(&db.pool)
                .await
                .unwrap();
        }
        let processes =
            [&["orchestrator"] as &[&str], &["worker", "--namespace", "shop"]].map(|args| {
                let mut command = command(
                    Some(&db.url),
                    &std::env::temp_dir(),
                    &[args, &["--log", form]].concat(),
                );
                command
                    .env("TASKER_HTTP_ALLOW", "*,127.0.0.1")
                    .env("OTEL_BSP_SCHEDULE_DELAY", "100");
                start({
                    command.envs(variables.iter().copied());
                    command
                })
            });
        Self { db, web, processes }
    }

    async fn enqueue(
        &self,
        name: &str,
        correlation_id: Option<Uuid>,
        traceparent: Option<&str>,
    ) -> Uuid {
        sqlx::query_scalar(
            "select tasker.enqueue_task('shop', $1, p_correlation_id => $2, p_traceparent => $3)",
        )
        .bind(name)
        .bind(correlation_id)
        .bind(traceparent)
        .fetch_one(&self.db.pool)
        .await
        .unwrap()
    }

    /// Waits until all tasks are in this state.
    async fn all(&self, state: &str) {
        eventually(&format!("all tasks to be {state}"), SOON, async || {
            let sql = "select count(*) filter (where state::text <> $1) from tasker.tasks";
            let others: i64 =
                sqlx::query_scalar(sql).bind(state).fetch_one(&self.db.pool).await.unwrap();
            if others == 0 { Ok(()) } else { Err(others) }
        })
        .await;
    }

    /// Stops both processes; the lines of their logs.
    async fn close(self) -> Vec<Value> {
        let mut lines = Vec::new();
        for process in self.processes {
            let end = stop(process).await;
            assert_eq!(end.code, Some(0), "{end:?}");
            lines.extend(end.stderr.lines().map(|line| -> Value {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            }));
        }
        lines
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

fn attributes(span: &Span, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| span.attributes.get(*name).cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_callers_trace_goes_on_through_the_task_and_into_what_its_handlers_call() {
    let collector = Collector::start().await;
    let shop = Shop::open(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k1"),
    ])
    .await;
    let correlation = Uuid::new_v4();
    let id = shop.enqueue("pay", Some(correlation), Some(&format!("00-{TRACE}-{CALLER}-01"))).await;
    shop.all("error").await;
    let spans = collector.trace(TRACE, "finalize").await;

    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    spans.iter().for_each(|span| *names.entry(&span.name).or_default() += 1);
    let expected = [
        ("enqueue", 1),
        ("finalize", 1),
        ("initialize", 1),
        ("queue wait", 2),
        ("step charge", 1),
        ("step tell", 1),
        ("task shop.pay", 1),
    ];
    assert_eq!(names, BTreeMap::from(expected));
    let root = named(&spans, "task shop.pay");
    assert_eq!(root.parent_id, CALLER);
    let all = spans.iter().filter(|span| span.span_id != root.span_id);
    assert!(all.clone().all(|span| span.parent_id == root.span_id), "{spans:#?}");
    assert!(
        all.clone().all(|span| span.start >= root.start && span.end >= span.start),
        "{spans:#?}"
    );
    let wanted = [id.to_string(), correlation.to_string()];
    assert!(
        spans.iter().all(|span| attributes(span, &["task_id", "correlation_id"]) == wanted),
        "{spans:#?}"
    );
    let of = |name: &str| named(&spans, name).service.as_str();
    assert_eq!((of("step tell"), of("task shop.pay")), ("tasker-worker", "tasker-orchestrator"));
    assert_eq!(collector.headers("api-key"), ["k1"]);

    let (charge, tell) = (named(&spans, "step charge"), named(&spans, "step tell"));
    let keys =
        ["step", "namespace", "template", "handler", "attempt", "claim_no", "outcome", "code"];
    assert_eq!(
        attributes(charge, &keys),
        ["charge", "shop", "pay", "http", "1", "1", "success", ""]
    );
    assert_eq!(
        attributes(tell, &keys),
        ["tell", "shop", "pay", "http", "1", "1", "failure", "http_404"]
    );
    assert!(charge.error.is_none() && tell.error.as_ref().unwrap().contains("404"), "{tell:#?}");
    assert!(Uuid::parse_str(&tell.attributes["worker_id"]).is_ok());
    assert_eq!(
        (attributes(root, &["state"]), root.error.is_some()),
        (vec!["error".to_owned()], true)
    );
    // Each call carried the span of its own handler.
    let carried: Vec<String> =
        shop.web.requests().iter().map(|r| r.headers["traceparent"].clone()).collect();
    assert_eq!(carried, [charge, tell].map(|span| format!("00-{TRACE}-{}-01", span.span_id)));

    let lines = shop.close().await;
    let of_task: Vec<&Value> = lines.iter().filter(|line| line["task_id"] == wanted[0]).collect();
    assert!(of_task.iter().any(|line| line["message"] == "step failed for good"), "{lines:#?}");
    for line in of_task {
        assert_eq!(
            (&line["correlation_id"], &line["trace_id"]),
            (&wanted[1].clone().into(), &TRACE.into()),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_task_without_a_caller_is_a_trace_of_its_own_and_one_that_is_not_sampled_none() {
    let collector = Collector::start().await;
    let shop = Shop::open(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/v1/traces", collector.endpoint())),
        ("OTEL_SERVICE_NAME", "my-shop"),
    ])
    .await;
    shop.enqueue("plain", None, Some(&format!("00-{TRACE}-{CALLER}-00"))).await;
    let id = shop.enqueue("plain", None, Some("nonsense")).await;
    shop.all("complete").await;
    let spans = collector.trace(&id.simple().to_string(), "finalize").await;
    let root = named(&spans, "task shop.plain");
    assert_eq!((root.parent_id.as_str(), root.error.as_ref()), ("", None));
    assert_eq!(spans.iter().filter(|span| span.parent_id == root.span_id).count(), 7, "{spans:#?}");
    assert_eq!(attributes(root, &["correlation_id"]), [id.to_string()]);
    // A process that has ended has exported all it had.
    shop.close().await;
    let all = collector.spans();
    assert!(all.iter().all(|span| span.service == "my-shop" && span.trace_id != TRACE), "{all:#?}");
}

#[tokio::test]
async fn a_collector_that_does_not_answer_slows_nothing_down() {
    // Connections are taken and never answered: each export lasts until its time is over.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let took = async |variables: &[(&str, &str)]| {
        let shop = Shop::open(variables).await;
        shop.enqueue("plain", None, None).await;
        shop.all("complete").await;
        let started = Instant::now();
        for _ in 0..100 {
            shop.enqueue("plain", None, None).await;
        }
        shop.all("complete").await;
        (started.elapsed(), shop)
    };
    let (without, shop) = took(&[]).await;
    shop.close().await;
    let (with, shop) =
        took(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_MAX_QUEUE_SIZE", "20")])
            .await;
    // Far less than one export, which ends after ten seconds.
    assert!(with < without * 3 + Duration::from_secs(3), "{with:?}, without {without:?}");
    let stopping = Instant::now();
    let lines = shop.close().await;
    assert!(stopping.elapsed() < Duration::from_secs(25), "{:?}", stopping.elapsed());
    let told = lines
        .iter()
        .filter(|line| line["message"].as_str().unwrap().starts_with("spans are dropped"));
    assert_eq!(told.count(), 1, "{lines:#?}");
}

#[tokio::test]
async fn a_line_for_people_names_the_correlation_id_too() {
    let shop = Shop::logging("human", &[]).await;
    let correlation = Uuid::new_v4();
    let id = shop.enqueue("pay", Some(correlation), None).await;
    shop.all("error").await;
    let [_, worker] = shop.processes;
    let log = stop(worker).await.stderr;
    let line = log.lines().find(|line| line.contains("step failed for good")).unwrap();
    let fields = format!("step{{task_id={id} correlation_id={correlation} step=tell ");
    assert!(line.contains(&fields), "{line}");
}

#[tokio::test]
async fn the_command_line_passes_a_callers_trace_on() {
    let shop = Shop::open(&[]).await;
    let folder = std::env::temp_dir();
    let mut from_environment =
        command(Some(&shop.db.url), &folder, &["task", "enqueue", "shop.plain"]);
    from_environment.env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-01"));
    let other = format!("00-{CALLER}{CALLER}-{CALLER}-00");
    let by_option = command(
        Some(&shop.db.url),
        &folder,
        &["task", "enqueue", "shop.plain", "--traceparent", &other],
    );
    for (command, trace) in
        [(from_environment, format!("00-{TRACE}-{CALLER}-01")), (by_option, other)]
    {
        let id: Uuid = crate::support::run(command).await.ok().trim().parse().unwrap();
        let sql = "select traceparent from tasker.tasks where task_id = $1";
        let kept: Option<String> =
            sqlx::query_scalar(sql).bind(id).fetch_one(&shop.db.pool).await.unwrap();
        assert_eq!(kept, Some(trace));
    }
}

/// Also what was found wrong before there was a log.
#[tokio::test]
async fn every_line_of_a_json_log_is_json() {
    let shop = Shop::open(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "me:hush@collector:4317"),
        ("TASKER_WORKER_CONCURENCY", "5"),
    ])
    .await;
    shop.enqueue("plain", None, None).await;
    shop.all("complete").await;
    for process in shop.processes {
        let text = stop(process).await.stderr;
        let parsed =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}: {text}"));
        let lines: Vec<Value> = text.lines().map(parsed).collect();
        for wanted in [
            "traces are off: OTEL_EXPORTER_OTLP_ENDPOINT is not a URL",
            "TASKER_WORKER_CONCURENCY names no setting",
        ] {
            let said =
                |line: &Value| line["message"].as_str().is_some_and(|said| said.contains(wanted));
            assert!(lines.iter().any(said), "{wanted}: {text}");
        }
        assert!(!text.contains("hush"), "{text}");
    }
}
