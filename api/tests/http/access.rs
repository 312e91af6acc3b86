//! Who may do what.

use crate::server::{Api, TestFile, serve, serve_with, settings};
use pgtasker_api::{ApiSettings, Permission, Server, new_key};
use pgtasker_core::{breaker::Breaker, health::Health};
use pgtasker_tests::{engine::Engine, eventually};
use rstest::rstest;
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

async fn keyed(engine: &Engine, permissions: &[&str]) -> (Api, TestFile) {
    let permissions: Vec<String> = permissions.iter().map(|word| (*word).to_owned()).collect();
    let made = new_key("ci", &permissions, &[]).unwrap();
    let file = TestFile::new(&made.toml);
    let mut api =
        serve_with(engine.pool(), ApiSettings { keys: Some(file.0.clone()), ..settings() }).await;
    api.key = Some(made.key);
    (api, file)
}

/// Each permission opens these, and nothing else.
const MATRIX: &[(&str, &str, &str)] = &[
    ("tasks:create", "POST", "/v1/tasks"),
    ("tasks:read", "GET", "/v1/tasks"),
    ("tasks:read", "POST", "/v1/tasks/count"),
    ("tasks:read", "GET", "/v1/namespaces/test/events"),
    ("tasks:cancel", "POST", "/v1/tasks/cancel"),
    ("tasks:write", "POST", "/v1/tasks/retry"),
    ("steps:write", "POST", "/v1/tasks/00000000-0000-0000-0000-000000000000/steps/a/retry"),
    ("templates:read", "GET", "/v1/templates"),
    ("templates:write", "POST", "/v1/templates"),
    ("queues:write", "POST", "/v1/namespaces/test/pause"),
    ("dead_letters:read", "GET", "/v1/dead-letters"),
    ("dead_letters:write", "POST", "/v1/dead-letters"),
    ("system:read", "GET", "/v1/queues"),
    ("system:read", "GET", "/metrics"),
    ("system:write", "POST", "/v1/prune"),
];

#[rstest]
#[case(&["tasks:create", "dead_letters:read"])]
#[case(&["tasks:read"])]
#[case(&["tasks:cancel", "steps:write", "templates:read"])]
#[case(&["tasks:write", "system:read"])]
#[case(&["templates:write", "queues:write", "dead_letters:write"])]
#[case(&["system:write"])]
#[tokio::test]
async fn a_key_opens_what_its_permissions_say_and_nothing_else(#[case] permissions: &[&str]) {
    let engine = Engine::new().await;
    let (api, _file) = keyed(&engine, permissions).await;
    for (permission, method, path) in MATRIX {
        let answer =
            api.call(method, path, (*method == "POST").then(|| json!({"colour": 1}))).await;
        if permissions.contains(permission) {
            assert!(
                !matches!(answer.status.as_u16(), 401 | 403),
                "{permissions:?}: {method} {path}: {answer:?}"
            );
        } else {
            assert_eq!(
                answer.problem(),
                (403, "forbidden".to_owned()),
                "{permissions:?}: {method} {path}"
            );
            assert!(answer.json()["detail"].as_str().unwrap().contains(permission));
        }
    }
}

#[tokio::test]
async fn without_a_valid_key_there_is_health_and_the_description_only() {
    let engine = Engine::new().await;
    let (mut api, _file) = keyed(&engine, &["*"]).await;
    assert_eq!(api.get("/v1/queues").await.status, 200);
    let right = api.key.take().unwrap();
    for key in [
        None,
        Some("tk_wrong".to_owned()),
        Some(String::new()),
        Some(right[..right.len() - 1].to_owned()),
    ] {
        api.key = key;
        for path in ["/v1/queues", "/metrics", "/nowhere", "/v1/health"] {
            let answer = api.get(path).await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{path}");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
            assert!(!answer.text.contains("tk_"), "{}", answer.text);
        }
    }
    api.key = None;
    for path in ["/health", "/health/live", "/health/ready", "/openapi.json", "/docs/"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    let request = api.request(reqwest::Method::GET, "/v1/queues").header("x-api-key", &right);
    assert_eq!(api.send(request).await.status, 200);
}

#[tokio::test]
async fn each_operation_of_the_document_wants_the_permission_that_it_names() {
    let engine = Engine::new().await;
    let all: Vec<&str> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
    let (mut api, file) = keyed(&engine, &[]).await;
    // A key for each permission, which has all others.
    let mut keys = BTreeMap::new();
    let mut toml = String::new();
    for one in &all {
        let others: Vec<String> =
            all.iter().filter(|p| p != &one).map(|p| (*p).to_owned()).collect();
        let made = new_key(one, &others, &[]).unwrap();
        toml.push_str(&made.toml);
        keys.insert(*one, made.key);
    }
    std::fs::write(&file.0, toml).unwrap();
    api.key = Some(keys["tasks:create"].clone());
    eventually("the keys are read", Duration::from_secs(20), async || {
        api.get("/v1/queues").await.status == 200
    })
    .await;
    let document = api.get("/openapi.json").await.json();
    for (path, item) in document["paths"].as_object().unwrap() {
        let id = "00000000-0000-0000-0000-000000000000";
        let at = path.replace("{task_id}", id).replace("{entry_id}", id).replace(['{', '}'], "");
        for (method, operation) in item.as_object().unwrap() {
            let Some(needed) = operation["security"][0]["key"][0].as_str() else {
                assert!(path.starts_with("/health"), "{method} {path} is open");
                continue;
            };
            api.key = Some(keys[needed].clone());
            let answer = api.call(&method.to_uppercase(), &at, None).await;
            assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{method} {path}");
            api.key = None;
            let answer = api.call(&method.to_uppercase(), &at, None).await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_audit_names_the_key_and_whom_it_speaks_for() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let (api, _file) = keyed(&engine, &["*"]).await;
    for (body, said) in [
        (
            json!({"by": "ana", "reason": "not needed"}),
            "cancelled by ana (key:ci) (login postgres): not needed",
        ),
        (json!({}), "cancelled by key:ci (login postgres)"),
    ] {
        let id = engine.enqueue(json!({})).await;
        let answer = api.post(&format!("/v1/tasks/{id}/cancel"), body).await;
        assert_eq!(answer.json(), json!({"changed": true, "state": "cancelled"}));
        let reason = engine
            .text(
                "select reason from tasker.task_transitions where task_id = $1 and to_state = \
                 'cancelled'",
                id,
            )
            .await;
        assert_eq!(reason, said);
    }
}

#[tokio::test]
async fn a_changed_keys_file_takes_effect() {
    let engine = Engine::new().await;
    let (mut api, file) = keyed(&engine, &["*"]).await;
    let old = api.key.clone();
    let new = new_key("other", &["system:read".to_owned()], &[]).unwrap();
    std::fs::write(&file.0, &new.toml).unwrap();
    api.key = Some(new.key.clone());
    eventually("the new key opens", Duration::from_secs(20), async || {
        api.get("/v1/queues").await.status == 200
    })
    .await;
    api.key = old;
    assert_eq!(api.get("/v1/queues").await.status, 401);
}

async fn bind(settings: ApiSettings) -> pgtasker_api::Result<Server> {
    let engine = Engine::new().await;
    let breaker = Breaker::new(engine.pool(), Health::new());
    Server::bind(&settings, engine.pool(), breaker, None, CancellationToken::new()).await
}

#[tokio::test]
async fn an_address_that_others_reach_wants_keys() {
    let open = ApiSettings::new("0.0.0.0:0".parse().unwrap());
    let refused = bind(open.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("--http-keys") && refused.contains("tasker key new"), "{refused}");
    let file = TestFile::new(&new_key("ci", &["*".to_owned()], &[]).unwrap().toml);
    bind(ApiSettings { keys: Some(file.0.clone()), ..open }).await.unwrap();
    let missing = ApiSettings { keys: Some("/nowhere/keys.toml".into()), ..settings() };
    assert!(bind(missing).await.unwrap_err().to_string().contains("/nowhere/keys.toml"));
}

#[tokio::test]
async fn pages_in_a_browser_cannot_reach_an_open_server() {
    let api = serve(&Engine::new().await).await;
    let rebound =
        api.request(reqwest::Method::GET, "/v1/queues").header("host", "evil.example:8410");
    assert_eq!(api.send(rebound).await.problem(), (403, "host_not_local".to_owned()));
    let foreign =
        api.request(reqwest::Method::POST, "/v1/prune").header("origin", "http://evil.example");
    assert_eq!(api.send(foreign).await.problem(), (403, "cross_origin".to_owned()));
    let own = api.request(reqwest::Method::POST, "/v1/prune").header("origin", &api.url);
    assert_eq!(api.send(own).await.status, 200);
}

#[rstest]
#[case("x-forwarded-for", "203.0.113.7")]
#[case("x-forwarded-host", "tasker.example")]
#[case("x-real-ip", "203.0.113.7")]
#[case("forwarded", "for=203.0.113.7")]
#[tokio::test]
async fn an_open_server_is_not_reached_by_way_of_a_proxy(
    #[case] header: &str,
    #[case] value: &str,
) {
    let engine = Engine::new().await;
    let open = serve(&engine).await;
    let passed_on = open.request(reqwest::Method::GET, "/v1/queues").header(header, value);
    let refused = open.send(passed_on).await;
    assert_eq!(refused.problem(), (403, "host_not_local".to_owned()));
    assert!(refused.json()["hint"].as_str().unwrap().contains("--http-keys"));
    // With a key it does not matter who brings it.
    let (closed, _file) = keyed(&engine, &["*"]).await;
    let passed_on = closed.request(reqwest::Method::GET, "/v1/queues").header(header, value);
    assert_eq!(closed.send(passed_on).await.status, 200);
}

#[tokio::test]
async fn answers_are_not_kept_by_caches_and_not_shown_inside_other_pages() {
    let api = serve(&Engine::new().await).await;
    for path in ["/v1/queues", "/v1/tasks/7", "/docs/"] {
        let answer = api.get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers["content-security-policy"], "frame-ancestors 'none'", "{path}");
    }
    let stream = api.request(reqwest::Method::GET, "/v1/events").send().await.unwrap();
    assert_eq!(stream.headers()["cache-control"], "no-cache", "as streams of events are");
}
