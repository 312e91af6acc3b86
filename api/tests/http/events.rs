//! Streams of events: nothing is lost, and there is an end.

use crate::server::{Api, TestFile, serve, serve_with, settings};
use pgtasker_api::{ApiSettings, new_key};
use pgtasker_tests::{engine::Engine, eventually};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;
use uuid::Uuid;

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

/// A stream that is read event by event.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(api: &Api, path: &str, last: Option<&str>) -> Self {
        let request = api.request(reqwest::Method::GET, path);
        let request = match &api.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .trim()
                        .to_owned()
                };
                let event = Event {
                    name: field("event:"),
                    id: field("id:"),
                    data: serde_json::from_str(&field("data:")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                if event.name.is_empty() {
                    continue;
                }
                return Some(event);
            }
            let chunk =
                timeout(Duration::from_secs(30), self.response.chunk()).await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn numbers(events: &[Event]) -> BTreeSet<(String, i64)> {
    let known = events.iter().filter(|event| event.name != "end");
    known.map(|event| (event.name.clone(), event.data["transition_id"].as_i64().unwrap())).collect()
}

async fn all(engine: &Engine, id: Uuid) -> BTreeSet<(String, i64)> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select 'task', transition_id from tasker.task_transitions where task_id = $1
         union all select 'step', transition_id from tasker.step_transitions where task_id = $1",
    )
    .bind(id)
    .fetch_all(engine.pool())
    .await
    .unwrap();
    rows.into_iter().collect()
}

#[tokio::test]
async fn every_transition_is_told_once_and_the_stream_ends_with_the_task() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let api = serve(&engine).await;
    let id = engine.start().await;
    let mut stream = Stream::open(&api, &format!("/v1/tasks/{id}/events"), None).await;
    // What was before it was opened, and what comes after.
    let mut events = vec![stream.next().await.unwrap()];
    engine.drain().await;
    events.extend(stream.rest().await);
    let end = events.last().unwrap();
    assert_eq!((end.name.as_str(), &end.data["state"]), ("end", &json!("complete")));
    assert_eq!(numbers(&events), all(&engine, id).await);
    assert_eq!(numbers(&events).len(), events.len() - 1, "none twice");
}

#[tokio::test]
async fn a_row_that_becomes_visible_late_is_told_too() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[]), ("b", &[])]).await;
    let api = serve(&engine).await;
    let id = engine.start().await;
    let claims = engine.claim(2).await;
    let mut late = engine.pool().begin().await.unwrap();
    let submit = "select status from tasker.submit_results($1, $2)";
    let result = |n: usize| {
        json!([{
            "task_id": id,
            "step": claims[n].step,
            "claim_no": claims[n].claim_no,
            "outcome": {"type": "success", "result": 1},
        }])
    };
    sqlx::query(submit).bind(engine.worker).bind(result(0)).execute(&mut *late).await.unwrap();
    engine.succeed(&claims[1], json!(1)).await;
    let mut stream = Stream::open(&api, &format!("/v1/tasks/{id}/events"), None).await;
    let newest: i64 = sqlx::query_scalar("select max(transition_id) from tasker.step_transitions")
        .fetch_one(engine.pool())
        .await
        .unwrap();
    let mut events = Vec::new();
    while events
        .last()
        .is_none_or(|event: &Event| event.name != "step" || event.data["transition_id"] != newest)
    {
        events.push(stream.next().await.unwrap());
    }
    late.commit().await.unwrap();
    engine.process().await;
    events.extend(stream.rest().await);
    assert_eq!(numbers(&events), all(&engine, id).await);
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_that_was_seen() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let api = serve(&engine).await;
    let path = format!("/v1/tasks/{}/events", engine.start().await);
    // Long ago, as far as the engine knows.
    sqlx::query("alter table tasker.step_transitions disable trigger user")
        .execute(engine.pool())
        .await
        .unwrap();
    sqlx::query("alter table tasker.task_transitions disable trigger user")
        .execute(engine.pool())
        .await
        .unwrap();
    for table in ["task", "step"] {
        let update = format!(
            "update tasker.{table}_transitions set at = at - interval '1 hour' + transition_id * \
             interval '1 min'"
        );
        sqlx::query(sqlx::AssertSqlSafe(update)).execute(engine.pool()).await.unwrap();
    }
    sqlx::query("alter table tasker.step_transitions enable trigger user")
        .execute(engine.pool())
        .await
        .unwrap();
    sqlx::query("alter table tasker.task_transitions enable trigger user")
        .execute(engine.pool())
        .await
        .unwrap();
    engine.drain().await;
    let events = Stream::open(&api, &path, None).await.rest().await;
    assert!(events.len() > 8, "{events:?}");
    for cut in 0..events.len() - 1 {
        let resumed = Stream::open(&api, &path, Some(&events[cut].id)).await.rest().await;
        let missing: Vec<_> =
            numbers(&events[cut + 1..]).difference(&numbers(&resumed)).cloned().collect();
        assert_eq!(missing, [], "after {}", events[cut].id);
        assert!(resumed.len() <= events.len(), "{cut}");
    }
    let refused =
        api.send(api.request(reqwest::Method::GET, &path).header("last-event-id", "seven")).await;
    assert_eq!(refused.problem(), (400, "invalid_event_id".to_owned()));
}

#[tokio::test]
async fn the_overview_is_told_at_once_and_when_it_changes() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let api = serve(&engine).await;
    let mut stream = Stream::open(&api, "/v1/events", None).await;
    let queue = |event: &Event| {
        event.data["queues"]
            .as_array()
            .unwrap()
            .iter()
            .find(|queue| queue["namespace"] == "test")
            .unwrap()["depth"]
            .clone()
    };
    assert_eq!(queue(&stream.next().await.unwrap()), 0);
    engine.start().await;
    while queue(&stream.next().await.unwrap()) != 1 {}
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_server() {
    let engine = Engine::new().await;
    let api = serve_with(engine.pool(), ApiSettings { max_streams: 1, ..settings() }).await;
    let first = Stream::open(&api, "/v1/events", None).await;
    let refused = api.get("/v1/events").await;
    assert_eq!(refused.problem(), (503, "too_many_streams".to_owned()));
    assert!(refused.headers.contains_key("retry-after"));
    drop(first);
    let path = "/v1/events";
    eventually("the place is free again", Duration::from_secs(30), async || {
        let response = api.request(reqwest::Method::GET, path).send().await.unwrap();
        response.status() == 200
    })
    .await;
    let last = eventually("a place", Duration::from_secs(30), async || {
        let response = api.request(reqwest::Method::GET, path).send().await.unwrap();
        (response.status() == 200).then_some(response)
    })
    .await;
    api.stop.cancel();
    timeout(Duration::from_secs(10), last.bytes()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_withdrawn() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let task = format!("/v1/tasks/{}/events", engine.start().await);
    let made = new_key("ci", &["*".to_owned()], &[]).unwrap();
    let file = TestFile::new(&made.toml);
    let mut api =
        serve_with(engine.pool(), ApiSettings { keys: Some(file.0.clone()), ..settings() }).await;
    api.key = Some(made.key);
    let streams =
        [Stream::open(&api, &task, None).await, Stream::open(&api, "/v1/events", None).await];
    // Still a key, but one that may not do this.
    std::fs::write(&file.0, made.toml.replace('*', "tasks:create")).unwrap();
    for stream in streams {
        let last = timeout(Duration::from_secs(30), stream.rest()).await.unwrap().pop().unwrap();
        assert_eq!((last.name.as_str(), &last.data["code"]), ("error", &json!("forbidden")));
    }
}
