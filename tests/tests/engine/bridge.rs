//! The bridge to other languages, with a language of the test's own: a thread that polls, runs what
//! the test says, and answers.

use crate::world::{SOON, World};
use pgtasker_bridge::{Bridge, BridgeError};
use pgtasker_tests::eventually;
use pgtasker_worker::StepOutcome;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

const WAIT: Duration = Duration::from_millis(200);

/// A program in another language.
struct Language {
    bridge: Arc<Bridge>,
    /// Every item but the lines of the log.
    seen: Arc<Mutex<Vec<Value>>>,
    thread: Option<JoinHandle<()>>,
}

impl Language {
    /// Runs `handle` for each item; what it returns is the answer.
    fn start(
        world: &World,
        options: Value,
        mut handle: impl FnMut(&Bridge, &Value) -> Option<String> + Send + 'static,
    ) -> Self {
        let mut all = json!({"database_url": world.db.url, "namespaces": ["test"]});
        for (name, value) in options.as_object().unwrap() {
            all[name] = value.clone();
        }
        let bridge = Arc::new(Bridge::start(&all.to_string()).unwrap());
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (own, items) = (Arc::clone(&bridge), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            loop {
                let polled = own.poll(64, WAIT).unwrap();
                let mut answers = Vec::new();
                for text in polled {
                    let item: Value = serde_json::from_str(&text).unwrap();
                    if item["type"] == "log" {
                        continue;
                    }
                    let ended = item["type"] == "stopped";
                    items.lock().unwrap().push(item.clone());
                    if ended {
                        return;
                    }
                    if let Some(answer) = handle(&own, &item) {
                        answers.push((item["id"].as_u64().unwrap(), answer));
                    }
                }
                own.complete(answers.iter().map(|(id, text)| (*id, text.as_str()))).unwrap();
            }
        });
        Self { bridge, seen, thread: Some(thread) }
    }

    fn seen(&self, kind: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|item| item["type"] == kind).cloned().collect()
    }

    async fn stop(mut self) {
        self.bridge.shutdown().unwrap();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    }
}

impl Drop for Language {
    fn drop(&mut self) {
        self.bridge.shutdown().ok();
    }
}

fn success(result: &Value) -> Option<String> {
    Some(json!({"type": "success", "result": result}).to_string())
}

/// A step `only` with this handler and more of its settings.
fn flow(handler: &str, more: &Value) -> Value {
    let mut step = json!({
        "name": "only",
        "handler": {"callable": handler},
        "retry": {"max_attempts": 2, "backoff_base_ms": 10},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        step[name] = value.clone();
    }
    json!({
        "namespace": "test", "name": "flow", "version": "1", "on_failure": "fail",
        "steps": [step],
    })
}

#[tokio::test]
async fn a_step_goes_through_with_every_digit() {
    let world = World::with(flow("echo", &json!({}))).await;
    let language = Language::start(&world, json!({"handlers": ["echo"]}), |_, item| {
        // As a language with big numbers would: the text of the document as it came.
        (item["type"] == "step")
            .then(|| format!(r#"{{"type":"success","result":{}}}"#, item["context"]))
    });
    let text =
        r#"{"n": 123456789012345678901234567890, "d": 0.1234567890123456789012345, "s": "ä"}"#;
    let context: Value = serde_json::from_str(text).unwrap();
    let id = world.enqueue(context.clone()).await;
    assert_eq!(world.result(id).await["only"], context);
    let step = &language.seen("step")[0];
    assert_eq!(step["inexact"], json!(["/context/d", "/context/n"]));
    assert_eq!(step["idempotency_key"], format!("{id}:only"));
    assert_eq!((&step["attempt"], &step["timeout_ms"]), (&json!(1), &json!(300_000)));
    language.stop().await;
}

#[tokio::test]
async fn failures_and_answers_that_are_none_fail_their_own_step() {
    let world = World::with(flow("work", &json!({}))).await;
    let _language = Language::start(&world, json!({"handlers": ["work"]}), |_, item| {
        if item["type"] != "step" {
            return None;
        }
        Some(match item["context"]["do"].as_str().unwrap() {
            "fails" => json!({"type": "failure", "message": "no", "code": "c", "retryable": false})
                .to_string(),
            "nonsense" => "NaN".to_owned(),
            "submitted" => json!({"type": "submitted"}).to_string(),
            _ => return success(&json!(1)),
        })
    });
    let code = async |context: &str| {
        let id = world.enqueue(json!({"do": context})).await;
        assert_eq!(world.ended(id).await, "error", "{context}");
        let (_, attempt, _, error) = world.step(id, "only").await;
        (attempt, error.unwrap()["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(code("fails").await, (1, "c".to_owned()));
    assert_eq!(code("nonsense").await, (1, "invalid_result".to_owned()));
    assert_eq!(code("submitted").await, (1, "invalid_result".to_owned()));
    let id = world.enqueue(json!({"do": "fine"})).await;
    assert_eq!(world.ended(id).await, "complete");
}

#[tokio::test]
async fn what_a_resolver_lacks_goes_to_another_worker_and_is_no_attempt() {
    let world = World::with(flow("elsewhere", &json!({}))).await;
    let language = Language::start(&world, json!({"resolver": true}), |_, item| {
        (item["type"] == "step").then(|| json!({"type": "release"}).to_string())
    });
    let id = world.enqueue(json!({"n": 1})).await;
    world.said(id, "only", "no handler elsewhere in this worker").await;
    let work = async |_| Ok(StepOutcome::success("there"));
    let other = world.worker(|w| w.handler("elsewhere", work)).await;
    assert_eq!(world.result(id).await["only"], "there");
    assert_eq!(world.step(id, "only").await.1, 1);
    assert!(!language.seen("step").is_empty());
    other.stop().await;
}

#[tokio::test]
async fn a_handler_that_does_not_end_keeps_its_place_until_it_returns() {
    let world = World::with(flow("hang", &json!({"timeout_seconds": 1}))).await;
    let returns = Arc::new(AtomicBool::new(false));
    let (hang, options) = (Arc::clone(&returns), json!({"handlers": ["hang"], "concurrency": 1}));
    let mut first = None;
    let language = Language::start(&world, options, move |bridge, item| {
        if hang.load(Ordering::Relaxed)
            && let Some(id) = first.take()
        {
            // Late: its step has been told as timed out.
            assert_eq!(bridge.complete([(id, r#"{"type":"success"}"#)]).unwrap(), 1);
        }
        match (item["type"].as_str().unwrap(), item["attempt"].as_i64()) {
            ("step", Some(1)) => {
                first = item["id"].as_u64();
                None
            }
            ("step", _) => success(&json!("again")),
            _ => None,
        }
    });
    let id = world.enqueue(json!({"n": 1})).await;
    eventually("the language to be told", SOON, async || {
        language.seen("cancel").iter().any(|item| item["why"] == "timeout")
    })
    .await;
    eventually("the worker to say so", SOON, async || {
        language.bridge.health().unwrap().contains("places of worker")
    })
    .await;
    assert_eq!(language.seen("step").len(), 1, "its place is taken");
    returns.store(true, Ordering::Relaxed);
    // An item for the language to come by: a task that ends at once would not be claimed.
    let held = language.seen("step")[0]["id"].as_u64().unwrap();
    assert_eq!(language.bridge.complete([(held, r#"{"type":"success"}"#)]).unwrap(), 1);
    assert_eq!(world.ended(id).await, "complete");
    assert_eq!(world.step(id, "only").await.1, 2);
}

#[tokio::test]
async fn a_step_that_nobody_polls_goes_back() {
    let world = World::with(flow("work", &json!({"timeout_seconds": 1}))).await;
    let options = json!({
        "database_url": world.db.url, "namespaces": ["test"], "handlers": ["work"],
    });
    let bridge = Arc::new(Bridge::start(&options.to_string()).unwrap());
    let id = world.enqueue(json!({"n": 1})).await;
    world.said(id, "only", "no poll took the step within 1s").await;
    let (then, polled) = tokio::sync::oneshot::channel();
    bridge.poll_then(10, Duration::ZERO, |items| then.send(items).unwrap());
    let items = polled.await.unwrap().unwrap();
    assert!(items.iter().all(|item| !item.contains(r#""type":"step""#)), "{items:?}");
    assert_eq!(world.step(id, "only").await.1, 0, "no attempt");
}

#[tokio::test]
async fn a_cancelled_task_is_told_to_the_language() {
    let world = World::with(flow("wait", &json!({}))).await;
    let language = Language::start(&world, json!({"handlers": ["wait"], "lease_ms": 1_000}), {
        let mut step = None;
        move |bridge, item| {
            match item["type"].as_str().unwrap() {
                "step" => step = item["id"].as_u64(),
                "cancel" => {
                    assert_eq!(item["id"].as_u64(), step);
                    let answer = json!({"type": "failure", "message": "stopped"}).to_string();
                    bridge.complete([(step.unwrap(), answer.as_str())]).unwrap();
                }
                _ => {}
            }
            None
        }
    });
    let id = world.enqueue(json!({"n": 1})).await;
    eventually("the step to run", SOON, async || !language.seen("step").is_empty()).await;
    sqlx::query("select tasker.cancel_task($1, 'enough', 'test')")
        .bind(id)
        .execute(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(world.ended(id).await, "cancelled");
    eventually("the language to be told", SOON, async || {
        language.seen("cancel").iter().any(|item| item["why"] == "cancelled")
    })
    .await;
}

/// Runs the statement as the language's own driver would.
async fn own_transaction(world: &World, prepared: &Value, commit: bool) -> String {
    let parameters = prepared["parameters"].as_array().unwrap().iter();
    let mut transaction = world.db.pool.begin().await.unwrap();
    sqlx::query("insert into effects values (1)").execute(&mut *transaction).await.unwrap();
    let statement = prepared["statement"].as_str().unwrap().to_owned();
    let mut query = sqlx::query_as(sqlx::AssertSqlSafe(statement));
    for parameter in parameters {
        query = query.bind(parameter.as_str().unwrap());
    }
    let (status, _): (String, String) = query.fetch_one(&mut *transaction).await.unwrap();
    if commit {
        transaction.commit().await.unwrap();
    }
    status
}

/// The value, or the code of the failure.
fn value(answer: &str) -> Result<Value, Value> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    match answer.get("error") {
        Some(error) => Err(error.clone()),
        None => Ok(answer["value"].clone()),
    }
}

/// Asks from outside of the runtime, as a language does.
async fn ask(language: &Language, id: u64, what: &'static str, arguments: Value) -> String {
    let bridge = Arc::clone(&language.bridge);
    tokio::task::spawn_blocking(move || bridge.ask(id, what, &arguments.to_string()).unwrap())
        .await
        .unwrap()
}

/// The id of the step that the language got last.
async fn step(language: &Language, number: usize) -> u64 {
    eventually("the step to run", SOON, async || {
        let steps = language.seen("step");
        steps.get(number - 1).map(|item| item["id"].as_u64().unwrap())
    })
    .await
}

#[tokio::test]
async fn a_step_ends_in_a_transaction_of_the_languages_own_driver() {
    let world = World::with(flow("own", &json!({}))).await;
    let effects = "create table effects (n int)";
    sqlx::raw_sql(effects).execute(&world.db.pool).await.unwrap();
    let language = Language::start(&world, json!({"handlers": ["own"]}), |_, _| None);
    let id = world.enqueue(json!({"n": 1})).await;
    let held = step(&language, 1).await;
    let outcome = json!({"outcome": {"type": "success", "result": "own"}});
    let prepared = value(&ask(&language, held, "prepare", outcome.clone()).await).unwrap();
    value(&ask(&language, held, "commits", json!({})).await).unwrap();
    assert_eq!(own_transaction(&world, &prepared, true).await, "accepted");
    value(&ask(&language, held, "committed", json!({})).await).unwrap();
    language.bridge.complete([(held, r#"{"type":"submitted"}"#)]).unwrap();
    assert_eq!(world.ended(id).await, "complete");

    // A transaction that was to end the step and did not: only a failure may be told.
    let id = world.enqueue(json!({"n": 2})).await;
    let held = step(&language, 2).await;
    let prepared = value(&ask(&language, held, "prepare", outcome.clone()).await).unwrap();
    value(&ask(&language, held, "commits", json!({})).await).unwrap();
    assert_eq!(own_transaction(&world, &prepared, false).await, "accepted");
    language.bridge.complete([(held, r#"{"type":"success","result":"without"}"#)]).unwrap();
    world.said(id, "only", "did not commit").await;

    // Its second attempt finds that the step has been cancelled.
    let held = step(&language, 3).await;
    sqlx::query("select tasker.cancel_task($1, 'enough', 'test')")
        .bind(id)
        .execute(&world.db.pool)
        .await
        .unwrap();
    let prepared = value(&ask(&language, held, "prepare", outcome).await).unwrap();
    let status = own_transaction(&world, &prepared, false).await;
    assert_ne!(status, "accepted");
    let refused = ask(&language, held, "refused", json!({"status": status})).await;
    assert_eq!(value(&refused).unwrap_err()["code"], status);
    let count = "select count(*) from effects";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&world.db.pool).await.unwrap();
    assert_eq!(count, 1);
    language.stop().await;
}

#[tokio::test]
async fn questions_of_a_step_are_answered() {
    let world = World::with(json!({
        "namespace": "test", "name": "flow", "version": "1",
        "steps": [
            {"name": "cut", "type": "batchable", "handler": {"callable": "cut"}},
            {"name": "add", "type": "batch_worker", "dependencies": ["cut"],
             "handler": {"callable": "add"}},
            {"name": "sum", "dependencies": ["add"], "handler": {"callable": "sum"},
             "publishes_events": [{"name": "sum.done"}, {"name": "sum.secret"}]},
        ],
    }))
    .await;
    let options = json!({"handlers": ["cut", "add", "sum"], "publishers": ["sum.*"]});
    let language = Language::start(&world, options, |bridge, item| match &item["handler"] {
        _ if item["type"] == "publication" => Some(match item["name"].as_str().unwrap() {
            "sum.secret" => "null".to_owned(),
            _ => json!({"payload": {"of": item["payload"]}}).to_string(),
        }),
        name if name == "cut" => {
            let cursors = [json!({"start": 0, "end": 2}), json!({"start": 2, "end": 4})];
            Some(json!({"type": "batches", "cursors": cursors}).to_string())
        }
        name if name == "add" => success(&item["inputs"]["end"]),
        name if name == "sum" => {
            let id = item["id"].as_u64().unwrap();
            let ask = |what, arguments: Value| {
                value(&bridge.ask(id, what, &arguments.to_string()).unwrap())
            };
            ask("publish", json!({"name": "sum.done", "payload": 1})).unwrap();
            let page = ask("batch_page", json!({"step": "add", "size": 1})).unwrap();
            let next = ask("batch_page", json!({"step": "add", "after": 1})).unwrap();
            assert_eq!(ask("batch_page", json!({"step": "add", "after": 2})), Ok(Value::Null));
            assert_eq!(ask("nothing", json!({})).unwrap_err()["retryable"], false);
            success(&json!([page[0]["result"], next[0]["result"], page[0]["state"]]))
        }
        _ => None,
    });
    let id = world.enqueue(json!({"n": 1})).await;
    assert_eq!(world.ended(id).await, "complete");
    let result: Value =
        sqlx::query_scalar("select result from tasker.steps where task_id = $1 and name = 'sum'")
            .bind(id)
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
    assert_eq!(result, json!([2, 4, "complete"]));
    let events: Vec<Value> = sqlx::query_scalar(
        "select message -> 'payload' from pgmq.q_test_domain_events order by msg_id",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap();
    assert_eq!(events, [json!({"of": 1})]);
    let none = tokio::task::spawn_blocking({
        let bridge = Arc::clone(&language.bridge);
        move || bridge.ask(0, "publish", "{}").unwrap()
    });
    assert_eq!(value(&none.await.unwrap()).unwrap_err()["code"], "step_ended");
}

#[tokio::test]
async fn a_shutdown_gives_back_what_does_not_end_and_says_when_it_is_over() {
    let world = World::with(flow("hang", &json!({}))).await;
    let options = json!({"handlers": ["hang"], "grace_ms": 100});
    let language = Language::start(&world, options, |_, _| None);
    let id = world.enqueue(json!({"n": 1})).await;
    step(&language, 1).await;
    let seen = Arc::clone(&language.seen);
    language.stop().await;
    let of = |kind: &str| {
        let seen = seen.lock().unwrap();
        seen.iter().find(|item| item["type"] == kind).cloned().unwrap()
    };
    assert_eq!((&of("cancel")["why"], &of("stopped")["error"]), (&json!("stopping"), &Value::Null));
    world.said(id, "only", "the worker was shut down before the handler ended").await;
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_said() {
    let start = |options: Value| Bridge::start(&options.to_string());
    let Err(BridgeError::Options(why)) = start(json!({"namespace": "a"})) else { panic!() };
    assert!(why.contains("unknown field `namespace`"), "{why}");
    let world = World::new().await;
    let started = async |options: Value| {
        let bridge = start(options).unwrap();
        tokio::task::spawn_blocking(move || {
            let started = bridge.started(SOON);
            (started, bridge.poll(1, SOON).unwrap())
        })
        .await
        .unwrap()
    };
    let options = json!({"database_url": world.db.url, "namespaces": ["a"], "handlers": ["A b"]});
    let (error, _) = started(options).await;
    assert!(error.unwrap_err().to_string().contains("handler name \"A b\" is not valid"));
}
