//! Rust's handlers: those that every language has, by the same names. `handlers.py`,
//! `handlers.mjs`, and `handlers.rb` say the same in their own words.

#[path = "rust_flow.rs"]
mod flow;

use pgtasker_core::{
    db::{DbOptions, connect},
    health::Health,
};
use pgtasker_telemetry::log::{FULL, LogFormat, start_log};
use pgtasker_worker::{
    DomainEvent, EventConsumer, Handler, Publication, Served, StepContext, StepError, StepOutcome,
    WorkerBuilder, shutdown_signal,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env::{self, var},
    error::Error,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

type Outcome = Result<StepOutcome, StepError>;

/// Tells the driver.
fn note(task: impl std::fmt::Display, text: impl std::fmt::Display) {
    println!("note {task} {text}");
}

fn is_open(task: impl std::fmt::Display, gate: &str) -> bool {
    let folder = var("CONFORMANCE_GATES").unwrap();
    Path::new(&folder).join(format!("{task}.{gate}")).exists()
}

/// Waits until the driver opens it.
async fn gate(ctx: &StepContext, name: &str) {
    while !is_open(ctx.task_id(), name) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs as a worker or as a consumer, until SIGTERM.
pub async fn run(role: &str) -> Result<(), Box<dyn Error>> {
    start_log(LogFormat::Human, FULL, Some("conformance"))?;
    // A panic is part of a scenario.
    std::panic::set_hook(Box::new(|_| {}));
    let shutdown = shutdown_signal()?;
    if role == "consumer" {
        let url = var("DATABASE_URL")?;
        let pool = connect(&DbOptions::new(url, "conformance consumer")).await?;
        let namespace = var("TASKER_WORKER_NAMESPACE")?;
        let consumer =
            EventConsumer::builder(pool).namespace(namespace).handler(consume).build()?;
        return Ok(consumer.run(shutdown).await?);
    }
    let served = Served::connect(None, Health::new(), &shutdown, register).await?;
    let Some(served) = served else { return Ok(()) };
    let mut heard = served.worker.subscribe("heard.*")?;
    tokio::spawn(async move {
        while let Some(event) = heard.next().await {
            note(event.task_id, format!("heard {} {}", event.name, event.payload));
        }
    });
    Ok(served.run(shutdown).await?)
}

fn register(worker: WorkerBuilder) -> WorkerBuilder {
    let relay = var("CONFORMANCE_AS").unwrap_or("rust".to_owned());
    let mut worker = flow::register(worker)
        .state(Currency("EUR"))
        .publisher("paid.*", publish)
        .handler("echo", echo)
        .handler("typed", typed)
        .handler("typed_config", typed_config)
        .handler("typed_parent", typed_parent)
        .handler("fail", fail)
        .handler("foreign", foreign)
        .handler("throw", throw)
        .handler("bad", bad)
        .handler("types", types)
        .handler("stubborn", stubborn)
        .handler("watchful", watchful)
        .handler("patient", patient)
        .handler("linger", linger)
        .handler("quick", quick)
        .handler("about", about)
        .handler("parent", parent)
        .handler("parents", parents)
        .handler("stray", stray)
        .handler("after_fork", after_fork)
        .handler("announce", announce)
        .method("payments", "charge", payments)
        .method("payments", "refund", payments)
        .handler(format!("relay_{relay}"), relayed);
    if env::var_os("CONFORMANCE_LACKS").is_none() {
        worker = worker.handler("elsewhere", quick);
    }
    if env::var_os("CONFORMANCE_RESOLVES").is_some() {
        worker = worker.resolver(|name: &str| {
            (name == "found").then(|| Arc::new(resolved) as Arc<dyn Handler>)
        });
    }
    worker
}

async fn echo(ctx: StepContext) -> Outcome {
    Ok(StepOutcome::success(ctx.context::<Value>()?))
}

#[derive(Deserialize)]
struct Order {
    order_id: i64,
    lines: Vec<Line>,
    note: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    sku: String,
    quantity: i64,
}

async fn typed(ctx: StepContext) -> Outcome {
    let order: Order = ctx.context()?;
    let total: i64 = order.lines.iter().map(|line| line.quantity).sum();
    let skus: Vec<&str> = order.lines.iter().map(|line| line.sku.as_str()).collect();
    Ok(StepOutcome::success(
        json!({"id": order.order_id, "total": total, "skus": skus, "note": order.note}),
    ))
}

async fn typed_config(ctx: StepContext) -> Outcome {
    Ok(StepOutcome::success(ctx.config::<Order>()?.order_id))
}

async fn typed_parent(ctx: StepContext) -> Outcome {
    Ok(StepOutcome::success(ctx.parent::<Order>("a")?.order_id))
}

/// Fails as its context says until the attempt it says, and then tells the attempt.
async fn fail(ctx: StepContext) -> Outcome {
    #[derive(Deserialize)]
    struct Failure {
        kind: String,
        message: String,
        code: Option<String>,
        retry_after_ms: Option<u64>,
        until: Option<i32>,
        #[serde(default = "one")]
        times: usize,
    }
    fn one() -> usize {
        1
    }
    let failure: Failure = ctx.context()?;
    if failure.until.is_some_and(|attempt| ctx.attempt() >= attempt) {
        return Ok(StepOutcome::success(ctx.attempt()));
    }
    let message = failure.message.repeat(failure.times);
    let mut error = match failure.kind.as_str() {
        "permanent" => StepError::permanent(message),
        _ => StepError::retryable(message),
    };
    if let Some(code) = failure.code {
        error = error.code(code);
    }
    if let Some(ms) = failure.retry_after_ms {
        error = error.retry_after(Duration::from_millis(ms));
    }
    Err(error)
}

/// An error of one's own, with a cause.
async fn foreign(_: StepContext) -> Outcome {
    #[derive(Debug)]
    struct Inner;
    #[derive(Debug)]
    struct NoSuchItem(Inner);
    impl std::fmt::Display for Inner {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the shelf is empty")
        }
    }
    impl std::fmt::Display for NoSuchItem {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no such item")
        }
    }
    impl Error for Inner {}
    impl Error for NoSuchItem {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    Err(NoSuchItem(Inner))?
}

/// Whatever a language can throw that is no error.
async fn throw(_: StepContext) -> Outcome {
    panic!("thrown as it is");
}

/// Results that cannot be stored.
async fn bad(ctx: StepContext) -> Outcome {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
        n: Option<usize>,
    }
    let Kind { kind, n } = ctx.context()?;
    let n = n.unwrap_or(0);
    Ok(StepOutcome::success(match kind.as_str() {
        "nul" => json!({"a": ["b\0"]}),
        "nul_key" => json!({"a": {"b\0": 1}}),
        "deep" => (0..n).fold(json!(1), |inner, _| json!([inner])),
        "large" => json!("x".repeat(n)),
        other => return Err(StepError::permanent(format!("no kind {other}"))),
    }))
}

/// Values of the language's own types.
async fn types(_: StepContext) -> Outcome {
    let date = chrono::NaiveDate::from_ymd_opt(2026, 1, 2).unwrap_or_default();
    let time = date.and_hms_micro_opt(3, 4, 5, 678_000).unwrap_or_default().and_utc();
    let ids: BTreeMap<&str, f64> = [("half", 0.5), ("tenth", 0.1)].into();
    let mut result = json!({"time": time, "ids": ids, "none": null, "yes": true});
    result["big"] = json!(u64::MAX);
    Ok(StepOutcome::success(result))
}

/// Goes on in its thread after its time is over, until the scenario opens the gate: it looks now
/// and then, as the other languages do, and ends with its process at the latest.
async fn stubborn(ctx: StepContext) -> Outcome {
    let slot = ctx.hold_slot();
    let task = ctx.task_id();
    note(task, "began");
    let work = move || {
        while !is_open(task, "go") {
            thread::sleep(Duration::from_millis(10));
        }
        note(task, "returns");
        drop(slot);
    };
    tokio::task::spawn_blocking(work).await?;
    Ok(StepOutcome::success("done"))
}

/// Ends when it is asked to stop.
async fn watchful(ctx: StepContext) -> Outcome {
    note(ctx.task_id(), "began");
    let token = ctx.cancelled();
    token.cancelled().await;
    note(ctx.task_id(), "stops");
    Err(StepError::retryable("stopped"))
}

/// Waits until it is asked to stop, and says nothing.
async fn patient(ctx: StepContext) -> Outcome {
    ctx.cancelled().cancelled().await;
    Ok(StepOutcome::success(()))
}

/// Waits for the gate, whatever happens.
async fn linger(ctx: StepContext) -> Outcome {
    note(ctx.task_id(), format!("began attempt {}", ctx.attempt()));
    gate(&ctx, "go").await;
    note(ctx.task_id(), "returns");
    Ok(StepOutcome::success(ctx.attempt()))
}

async fn quick(ctx: StepContext) -> Outcome {
    note(ctx.task_id(), format!("ran {}", ctx.step()));
    Ok(StepOutcome::success(ctx.step()))
}

async fn about(ctx: StepContext) -> Outcome {
    Ok(StepOutcome::success(json!({
        "step": ctx.step(),
        "handler": ctx.handler(),
        "attempt": ctx.attempt(),
        "claim_no": ctx.claim_no(),
        "correlation_id": ctx.correlation_id(),
        "traceparent": ctx.traceparent(),
        "seconds": ctx.timeout().as_secs(),
        "is_batch_instance": ctx.is_batch_instance(),
        "config": ctx.config::<Value>()?,
        "inputs": ctx.inputs::<Value>()?,
        "task": ctx.task_id(),
    })))
}

/// The result of the parent that its config names.
async fn parent(ctx: StepContext) -> Outcome {
    let config: Value = ctx.config()?;
    let name = config["parent"].as_str().unwrap_or_default();
    Ok(StepOutcome::success(ctx.parent::<Value>(name)?))
}

async fn parents(ctx: StepContext) -> Outcome {
    let all = ctx
        .parents()
        .iter()
        .map(|(name, raw)| Ok((name.clone(), serde_json::from_str::<Value>(raw.get())?)));
    let all: serde_json::Map<String, Value> = all.collect::<Result<_, StepError>>()?;
    Ok(StepOutcome::success(Value::Object(all)))
}

/// What is left behind ends no worker.
async fn stray(ctx: StepContext) -> Outcome {
    drop(tokio::spawn(async { panic!("nobody awaits this") }));
    Ok(StepOutcome::success(ctx.step()))
}

/// A process that a handler starts leaves the worker alone.
async fn after_fork(ctx: StepContext) -> Outcome {
    let mut child = std::process::Command::new("true").spawn()?;
    let ended = child.wait()?;
    Ok(StepOutcome::success(json!([ctx.step(), ended.success()])))
}

struct Currency(&'static str);

async fn payments(ctx: StepContext) -> Outcome {
    let currency = ctx.state::<Currency>()?.0;
    Ok(StepOutcome::success(json!([ctx.handler(), currency])))
}

async fn resolved(ctx: StepContext) -> Outcome {
    Ok(StepOutcome::success(json!(["resolved", ctx.handler()])))
}

/// Hands on what came from the step before, which another language may have written.
async fn relayed(ctx: StepContext) -> Outcome {
    let before = ctx.parents().values().next();
    let document: Value = match before {
        Some(raw) => serde_json::from_str(raw.get())?,
        None => ctx.context()?,
    };
    Ok(StepOutcome::success(document))
}

/// Publishes what its context says, and ends as it says.
async fn announce(ctx: StepContext) -> Outcome {
    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        events: Vec<(String, Value)>,
        fails: Option<String>,
        result: Option<Value>,
    }
    let said: Said = ctx.context()?;
    for (name, payload) in said.events {
        ctx.publish(&name, payload);
    }
    match said.fails.as_deref() {
        Some("permanent") => Err(StepError::permanent("refused").code("card_refused")),
        Some(_) if ctx.attempt() == 1 => Err(StepError::retryable("busy").code("busy")),
        _ => Ok(StepOutcome::success(said.result)),
    }
}

/// Keeps back amounts of nothing, refuses the thirteenth, and marks all others.
async fn publish(
    mut event: Publication,
    ctx: StepContext,
) -> Result<Option<Publication>, StepError> {
    match event.payload["amount"].as_i64() {
        Some(0) => return Ok(None),
        Some(13) => return Err(StepError::permanent("an unlucky amount")),
        _ => {}
    }
    event.payload["seen"] = json!(true);
    event.metadata = json!({"attempt": ctx.attempt(), "order": ctx.context::<Value>()?["order"]});
    Ok(Some(event))
}

static AGAIN: AtomicBool = AtomicBool::new(true);

async fn consume(event: DomainEvent) -> Result<(), StepError> {
    note(event.task_id, format!("consumes {}", event.payload));
    match event.payload["kind"].as_str() {
        Some("never") => Err(StepError::permanent("no such order")),
        Some("again") if AGAIN.swap(false, Relaxed) => Err(StepError::retryable("later")),
        _ => Ok(()),
    }
}
