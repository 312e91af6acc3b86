//! The handler `http` with `api: true`: what a template cannot say, and one task through it.

use crate::world::World;
use pgtasker_tests::{TestDb, WebServer, invariants::assert_invariants};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{PgPool, query_as};

/// A template whose second step makes this call, with the inputs `id` and `url`.
fn template(config: Value) -> Value {
    let mut config = config;
    config["api"] = json!(true);
    json!({
        "namespace": "test", "name": "flow", "version": "1",
        "steps": [
            {"name": "first", "handler": {"callable": "noop"}},
            {
                "name": "only", "dependencies": ["first"],
                "inputs": {"id": "$.context.id", "url": "$.context.url"},
                "handler": {"callable": "http", "config": config},
                "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false},
            },
        ],
    })
}

/// The problems of a template: below the configuration, code, and message.
async fn problems(pool: &PgPool, template: &Value) -> Vec<(String, String, String)> {
    query_as(
        "select replace(path, '/steps/1/handler/config', ''), code, message
           from tasker.validate_template($1) order by path, code",
    )
    .bind(template)
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_can_be_sent_is_valid() {
    let db = TestDb::new().await;
    for config in [
        json!({"url": "{url}", "query": {"id": "{id}", "n": 1, "b": true},
            "headers": {"Authorization": "Bearer {secret:PETS}"}, "ok": [200, 404],
            "response": "full", "timeout_seconds": 0.5, "method": "get"}),
        json!({"url": "https://api.example.com"}),
        json!({"url": "HTTP://api.example.com:8080?a=1"}),
        json!({"url": "https://[::1]:8080/{id}/x{{{id}}}?q={id}&r=../x", "method": "DELETE"}),
        json!({"url": "https://a.b/", "json": {"a": ["{id}", null, 1.5, "{{x}}"], "{y}": "{url}"}}),
        json!({"url": "https://a.b/", "json": null}),
        json!({"url": "https://a.b/", "form": {"a": "{id}", "b": 2}, "method": "PUT"}),
        json!({"url": "https://a.b/", "text": "query {{ user(id: \"{id}\") {{ name }} }}"}),
        json!({"url": "https://a.b/", "headers": {"x": "{{secret:no}}{id}{secret:A}{secret:B_2}"}}),
    ] {
        assert_eq!(problems(&db.pool, &template(config.clone())).await, [], "{config}");
    }
}

/// Each has its place, and says what to do.
#[rstest]
#[case(json!({"qurey": {}}), "/qurey", "unknown_key", "the keys here are: api, method")]
#[case(json!({"a/b": 1}), "/a~1b", "unknown_key", "the keys here are")]
#[case(json!({"method": "BREW"}), "/method", "invalid_value", "GET, HEAD, POST")]
#[case(json!({"method": 1}), "/method", "invalid_type", "a string")]
#[case(json!({"method": "GET", "json": 1}), "/json", "invalid_value", "let method be POST")]
#[case(json!({"method": "head", "text": ""}), "/text", "invalid_value", "let method be POST")]
#[case(json!({"json": 1, "form": {}}), "/form", "invalid_value", "one body: leave json or form")]
#[case(json!({"response": "json"}), "/response", "invalid_value", "body, full, or text")]
#[case(json!({"response": null}), "/response", "invalid_type", "a string")]
#[case(json!({"ok": 200}), "/ok", "invalid_type", "an array")]
#[case(json!({"ok": []}), "/ok", "invalid_value", "leave it out for all from 200 to 299")]
#[case(json!({"ok": [200, "404"]}), "/ok/1", "invalid_number", "from 200 to 599")]
#[case(json!({"ok": [100]}), "/ok/0", "invalid_number", "from 200 to 599")]
#[case(json!({"timeout_seconds": 0}), "/timeout_seconds", "invalid_number", "from 0.001")]
#[case(json!({"query": []}), "/query", "invalid_type", "an object")]
#[case(json!({"query": {"q": null}}), "/query/q", "invalid_type", "string or a number")]
#[case(json!({"query": {"a/b": ["x"]}}), "/query/a~1b", "invalid_type", "string or a number")]
#[case(json!({"form": {"q": {}}}), "/form/q", "invalid_type", "string or a number")]
#[case(json!({"headers": {"x": 1}}), "/headers/x", "invalid_type", "a string")]
#[case(json!({"headers": {"Host": "x"}}), "/headers/Host", "reserved_header", "leave it out")]
#[case(json!({"text": {}}), "/text", "invalid_type", "a string")]
#[case(json!({"query": {"q": "{nope}"}}), "/query/q", "unknown_input", "add it to them")]
#[case(json!({"headers": {"x": "{nope}"}}), "/headers/x", "unknown_input", "{nope}")]
#[case(json!({"form": {"q": "{nope}"}}), "/form/q", "unknown_input", "{nope}")]
#[case(json!({"text": "{nope} {nope}"}), "/text", "unknown_input", "{nope}")]
#[case(json!({"json": {"a~": [1, "<{nope}>"]}}), "/json/a~0/1", "unknown_input", "{nope}")]
#[case(json!({"json": "{nope}"}), "/json", "unknown_input", "{nope}")]
#[case(json!({"url": "https://a.b/{nope}"}), "/url", "unknown_input", "{nope}")]
#[case(json!({"query": {"q": "{"}}), "/query/q", "invalid_placeholder", "{{ and }} for braces")]
#[case(json!({"query": {"q": "a}"}}), "/query/q", "invalid_placeholder", "{{ and }} for braces")]
#[case(json!({"query": {"q": "{{id}"}}), "/query/q", "invalid_placeholder", "} is no place")]
#[case(json!({"text": "{}"}), "/text", "invalid_placeholder", "{} is no place")]
#[case(json!({"text": "{id.x[0]}"}), "/text", "invalid_placeholder", "{name} for a key")]
#[case(json!({"text": "{ id }"}), "/text", "invalid_placeholder", "{name} for a key")]
#[case(json!({"text": "{$.context.id}"}), "/text", "invalid_placeholder", "{name} for a key")]
#[case(json!({"text": "{secret:PAY}"}), "/text", "invalid_secret", "headers and query only")]
#[case(json!({"json": ["{secret:P}"]}), "/json/0", "invalid_secret", "headers and query only")]
#[case(json!({"form": {"a": "{secret:P}"}}), "/form/a", "invalid_secret", "headers and query")]
#[case(json!({"url": "https://a.b/{secret:P}"}), "/url", "invalid_secret", "headers and query")]
#[case(json!({"query": {"a": "{secret:pay}"}}), "/query/a", "invalid_secret", "A-Z, 0-9")]
#[case(json!({"headers": {"a": "{secret:A_HOSTS}"}}), "/headers/a", "invalid_secret", "_HOSTS")]
#[case(json!({"headers": {"a": "{secret:PAY"}}), "/headers/a", "invalid_placeholder", "braces")]
#[case(json!({"url": "https://{id}/"}), "/url", "invalid_url", "before its first value")]
#[case(json!({"url": "https://a.b{id}/"}), "/url", "invalid_url", "before its first value")]
#[case(json!({"url": "https://a.b?q={id}"}), "/url", "invalid_url", "before its first value")]
#[case(json!({"url": "{url}/a"}), "/url", "invalid_url", "only a url that is {name} alone")]
#[case(json!({"url": "ftp://a.b/"}), "/url", "invalid_url", "scheme, host")]
#[case(json!({"url": "/a"}), "/url", "invalid_url", "scheme, host")]
#[case(json!({"url": "https://u:p@a.b/{id}"}), "/url", "invalid_url", "the header Authorization")]
#[case(json!({"url": "https://a.b/x y"}), "/url", "invalid_url", "percent-encoded")]
#[case(json!({"url": "https://a.b\\{id}"}), "/url", "invalid_url", "percent-encoded")]
#[case(json!({"url": "https://a.b/#{id}"}), "/url", "invalid_url", "percent-encoded")]
#[case(json!({"url": "https://a.b/../{id}"}), "/url", "invalid_url", ". or ..")]
#[case(json!({"url": "https://a.b/%2E./x"}), "/url", "invalid_url", ". or ..")]
#[case(json!({"url": "https://a.b/%2{id}"}), "/url", "invalid_url", "write %25")]
#[case(json!({"json": "x".repeat(70_000)}), "/json", "too_large", "let inputs have")]
#[case(json!({"api": "true"}), "/api", "invalid_type", "a boolean")]
#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_its_place(
    #[case] config: Value,
    #[case] place: &str,
    #[case] code: &str,
    #[case] words: &str,
) {
    let db = TestDb::new().await;
    let mut whole = json!({"url": "https://a.b/x"});
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let mut template = template(whole);
    if let Some(api) = config.get("api") {
        template["steps"][1]["handler"]["config"]["api"] = api.clone();
    }
    let found = problems(&db.pool, &template).await;
    let [(path, problem, message)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&**path, &**problem), (place, code), "{message}");
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn the_inputs_that_a_call_needs_are_those_of_its_step() {
    let db = TestDb::new().await;
    let mut no_inputs = template(json!({"url": "{url}"}));
    no_inputs["steps"][1].as_object_mut().unwrap().remove("inputs");
    let found = problems(&db.pool, &no_inputs).await;
    assert_eq!((found.len(), &*found[0].1), (1, "unknown_input"), "{found:?}");
    // What a cursor holds is known when it is there.
    let batch = json!({
        "namespace": "test", "name": "flow", "version": "1",
        "steps": [
            {"name": "split", "type": "batchable", "handler": {"callable": "split"}},
            {
                "name": "only", "type": "batch_worker", "dependencies": ["split"],
                "handler": {
                    "callable": "http",
                    "config": {"api": true, "url": "https://a.b/{x}", "text": "{"},
                },
            },
        ],
    });
    let found = problems(&db.pool, &batch).await;
    assert_eq!((found.len(), &*found[0].1), (1, "invalid_placeholder"), "{found:?}");
    // Nobody has to be told twice.
    let mut no_object = template(json!({"url": "{url}"}));
    no_object["steps"][1]["inputs"] = json!("$.context");
    let found = problems(&db.pool, &no_object).await;
    assert_eq!((found.len(), &*found[0].0), (1, "/steps/1/inputs"), "{found:?}");
}

/// What others call is not looked at.
#[tokio::test]
async fn without_it_every_key_is_the_receivers() {
    let db = TestDb::new().await;
    let config = json!({"url": "https://a.b/{x}", "query": "{", "ok": "yes", "response": 7});
    let mut template = template(config);
    for (callable, api) in [("http", json!(false)), ("http", Value::Null), ("mine", json!(true))] {
        template["steps"][1]["handler"]["callable"] = json!(callable);
        template["steps"][1]["handler"]["config"]["api"] = api.clone();
        if api.is_null() {
            template["steps"][1]["handler"]["config"].as_object_mut().unwrap().remove("api");
        }
        assert_eq!(problems(&db.pool, &template).await, [], "{callable} {api}");
    }
}

/// A large body costs a check no time: it is bounded before its texts are looked for.
#[tokio::test]
async fn a_large_or_deep_body_is_refused_soon() {
    let db = TestDb::new().await;
    let mut deep = json!("{id}");
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let wide: Vec<&str> = vec!["{id}"; 100_000];
    for body in [deep, json!({"k".repeat(100_000): wide})] {
        let began = std::time::Instant::now();
        let found = problems(&db.pool, &template(json!({"url": "{url}", "json": body}))).await;
        assert_eq!((found.len(), &*found[0].1), (1, "too_large"), "{found:?}");
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_task_calls_an_api() {
    const TELLS: &str = r#"{"$tasker": {"type": "failure", "message": "no"},
        "n": 123456789012345678901234567890.5}"#;
    let server =
        WebServer::start(&[(503, "later"), (200, TELLS), (404, "\"none\""), (409, "no")]).await;
    let mut config = json!({
        "url": "{url}", "query": {"id": "{id}"}, "ok": [200, 404], "json": {"id": "{id}"},
    });
    config["headers"] = json!({"x-id": "<{id}>"});
    let world = World::with(template(config)).await;
    let worker = world.worker(|w| w.http_allow(&server.address)).await;
    let url = format!("http://{}/pets", server.address);
    let id = world.enqueue(json!({"url": url, "id": "a/{id}&b"})).await;
    let tells: Value = serde_json::from_str(TELLS).unwrap();
    assert_eq!(world.result(id).await, json!({"only": tells}));
    world.said(id, "only", "answered 503").await;
    for (request, attempt) in server.requests().into_iter().zip(1..) {
        assert_eq!(request.line, "POST /pets?id=a%2F%7Bid%7D%26b HTTP/1.1");
        assert_eq!(request.body, json!({"id": "a/{id}&b"}));
        assert_eq!(request.headers["x-id"], "<a/{id}&b>");
        assert_eq!(request.headers["idempotency-key"], format!("{id}:only"));
        assert_eq!(request.headers["tasker-attempt"], format!("{attempt}"));
    }
    let absent = world.enqueue(json!({"url": url, "id": 7})).await;
    assert_eq!(world.result(absent).await, json!({"only": "none"}));
    let conflict = world.enqueue(json!({"url": url, "id": 7})).await;
    assert_eq!(world.ended(conflict).await, "blocked_by_failures");
    let (_, attempt, _, error) = world.step(conflict, "only").await;
    assert_eq!((attempt, &error.unwrap()["code"]), (1, &json!("http_409")));
    // What a template cannot know is found before anything is sent.
    let sent = server.requests().len();
    for (context, code) in [
        (json!({"url": "http://evil.example/", "id": 1}), "host_not_allowed"),
        (json!({"url": url, "id": {}}), "invalid_input"),
        (json!({"id": 1}), "invalid_input"),
    ] {
        let id = world.enqueue(context).await;
        assert_eq!(world.ended(id).await, "blocked_by_failures");
        let (_, attempt, _, error) = world.step(id, "only").await;
        assert_eq!((attempt, &error.unwrap()["code"]), (1, &json!(code)));
    }
    assert_eq!(server.requests().len(), sent);
    worker.stop().await;
    assert_invariants(&world.db.pool).await;
}
