//! A key that is limited to namespaces: every route and stream that the document describes is asked
//! about another one.

use crate::server::{Api, TestFile, serve_with, settings};
use pgtasker_api::{ApiSettings, new_key};
use pgtasker_tests::engine::Engine;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Bodies of those that want one.
const BODIES: &[(&str, &str)] = &[
    ("post /v1/tasks", r#"{"namespace": "hidden", "name": "hidden_flow"}"#),
    ("post /v1/templates/{namespace}/{name}/use", r#"{"version": "1"}"#),
    ("post /v1/tasks/count", r#"{"namespace": "hidden"}"#),
    ("post /v1/tasks/retry", r#"{"namespace": "hidden"}"#),
    ("post /v1/tasks/cancel", r#"{"namespace": "hidden"}"#),
    ("post /v1/tasks/{task_id}/steps/{step}/resolve", r#"{"result": 1}"#),
    ("post /v1/dead-letters", r#"{"task_id": "$task"}"#),
    ("patch /v1/dead-letters/{entry_id}", r#"{"status": "cancelled"}"#),
    ("post /v1/dead-letters/count", r#"{"filter": {"namespace": "hidden"}}"#),
    ("post /v1/dead-letters/retry", r#"{"filter": {"namespace": "hidden"}}"#),
    (
        "post /v1/dead-letters/update",
        r#"{"filter": {"namespace": "hidden"}, "status": "cancelled"}"#,
    ),
    ("put /v1/settings/{name}", r#"{"value": "1"}"#),
    ("put /v1/namespaces/{namespace}/limit", r#"{"max_depth": 5}"#),
    (
        "post /v1/templates",
        r#"{
            "namespace": "hidden",
            "name": "x",
            "version": "1",
            "steps": [{"name": "s", "handler": {"callable": "noop"}}]
        }"#,
    ),
    (
        "post /v1/templates/validate",
        r#"{
            "namespace": "own",
            "name": "x",
            "version": "1",
            "steps": [{"name": "s", "handler": {"callable": "noop"}}]
        }"#,
    ),
];

async fn limited(engine: &Engine) -> (Api, TestFile) {
    let made = new_key("ci", &["*".to_owned()], &["own".to_owned()]).unwrap();
    let file = TestFile::new(&made.toml);
    let mut api =
        serve_with(engine.pool(), ApiSettings { keys: Some(file.0.clone()), ..settings() }).await;
    api.key = Some(made.key);
    (api, file)
}

/// Two namespaces; a task and a dead letter of the hidden one.
async fn world() -> (Engine, Uuid, Uuid) {
    let e = Engine::new().await;
    for namespace in ["own", "hidden"] {
        e.apply(json!({
            "namespace": namespace,
            "name": format!("{namespace}_flow"),
            "version": "1",
            "steps": [{
                "name": "only",
                "handler": {"callable": format!("{namespace}_handler")},
            }],
        }))
        .await;
        sqlx::query(
            "select tasker.enqueue_task($1, $1 || '_flow'), \
            tasker.heartbeat(gen_random_uuid(), array[$1], array[$1 || '_handler'])",
        )
        .bind(namespace)
        .execute(e.pool())
        .await
        .unwrap();
    }
    e.initialize().await;
    let (task, entry) = sqlx::query_as(
        "select t.task_id, tasker.add_dead_letter(t.task_id, 'hidden note') from tasker.tasks t \
         where \
         t.namespace = 'hidden'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    (e, task, entry)
}

/// The answer, or of a stream what comes within a moment.
async fn ask(api: &Api, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let method = method.to_uppercase().parse::<Method>().unwrap();
    let mut request = api.request(method, path).bearer_auth(api.key.as_ref().unwrap());
    if let Some(body) = body {
        request = request.json(&body);
    }
    let mut response = request.send().await.unwrap();
    let (status, mut text) = (response.status().as_u16(), String::new());
    while let Ok(Ok(Some(chunk))) =
        tokio::time::timeout(Duration::from_millis(700), response.chunk()).await
    {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    (status, text)
}

#[tokio::test]
async fn no_route_and_no_stream_reaches_another_namespace() {
    let (e, task, entry) = world().await;
    let (api, _file) = limited(&e).await;
    let rows = async || -> Vec<String> {
        sqlx::query_scalar(
            "select t::text from tasker.tasks t union all select s::text from tasker.steps s \
             union all select d::text from tasker.dead_letters d
             union all select n::text from tasker.namespaces n union all select v::text from \
             tasker.templates v order by 1",
        )
        .fetch_all(e.pool())
        .await
        .unwrap()
    };
    let before = rows().await;
    let document = api.get("/openapi.json").await.json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["security"][0]["key"].is_null() {
                continue;
            }
            let at = path
                .replace("{task_id}", &task.to_string())
                .replace("{entry_id}", &entry.to_string())
                .replace("{namespace}", "hidden")
                .replace("{name}", "hidden_flow")
                .replace("{step}", "only")
                .replace("{version}", "1");
            let body = BODIES.iter().find(|(route, _)| *route == format!("{method} {path}"));
            let body = body.map(|(_, body)| {
                serde_json::from_str(&body.replace("$task", &task.to_string())).unwrap()
            });
            assert!(
                body.is_some() || operation["requestBody"]["required"] != true,
                "a body for {method} {path}"
            );
            let (status, text) = ask(&api, method, &at, body).await;
            // A refusal names what was asked for, and nothing else.
            let secrets: &[&str] =
                if status < 400 { &["hidden"] } else { &["hidden_handler", "hidden note"] };
            let told = secrets.iter().any(|secret| text.contains(secret));
            assert!(!told, "{method} {path}: {status} {text}");
            assert!(status < 500, "{method} {path}: {status} {text}");
            let about_it = at.contains("hidden")
                || at.contains(&task.to_string())
                || at.contains(&entry.to_string());
            assert!(!about_it || status >= 400, "{method} {path}: {status} {text}");
            asked += 1;
        }
    }
    assert!(asked > 35, "all were asked: {asked}");
    assert_eq!(rows().await, before, "nothing has changed");
    assert_eq!(api.get("/metrics").await.problem(), (403, "limited_to_namespaces".to_owned()));
}

#[tokio::test]
async fn a_limited_key_works_in_its_own_namespace() {
    let (e, ..) = world().await;
    let (api, _file) = limited(&e).await;
    let names = |answer: Value, key: &str| -> Vec<String> {
        answer
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item[key].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(api.get("/v1/namespaces").await.json(), json!(["own"]));
    assert_eq!(names(api.get("/v1/queues").await.json(), "queue"), ["worker_own_queue"]);
    assert_eq!(api.get("/v1/tasks").await.json()["items"].as_array().unwrap().len(), 1);
    let made = api.post("/v1/tasks", json!({"namespace": "own", "name": "own_flow"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let paused = api.post("/v1/namespaces/own/pause", json!({"reason": "lunch"})).await;
    assert_eq!(paused.json(), json!({"changed": true}));
    let said: String = sqlx::query_scalar(
        "select said_by || ': ' || reason from tasker.operation_overview where operation = 'pause'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(said, "key:ci (login postgres): lunch");
}

#[tokio::test]
async fn logins_that_fail_wait_longer_and_longer_and_valid_ones_do_not() {
    let (e, ..) = world().await;
    let (mut api, _file) = limited(&e).await;
    let key = api.key.take();
    let wrong = async |api: &Api| {
        let began = std::time::Instant::now();
        let answer = api.send(api.request(Method::GET, "/v1/tasks").bearer_auth("tk_wrong")).await;
        assert_eq!(answer.problem(), (401, "unauthorized".to_owned()));
        began.elapsed()
    };
    let mut waits = Vec::new();
    for _ in 0..6 {
        waits.push(wrong(&api).await);
    }
    assert!(waits[5] >= Duration::from_millis(120), "{waits:?}");
    api.key = key;
    let began = std::time::Instant::now();
    assert_eq!(api.get("/v1/tasks").await.status, 200);
    assert!(began.elapsed() < waits[5].max(Duration::from_secs(2)), "{:?}", began.elapsed());
}
