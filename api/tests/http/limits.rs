//! Limits, TLS, and what is counted.

use crate::server::{Api, TestFile, serve_with, settings};
use pgtasker_api::{ApiSettings, TlsFiles};
use pgtasker_tests::{engine::Engine, eventually};
use rcgen::generate_simple_self_signed;
use rstest::rstest;
use serde_json::json;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

fn address(api: &Api) -> String {
    api.url.trim_start_matches("http://").to_owned()
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let engine = Engine::new().await;
    let api = serve_with(engine.pool(), ApiSettings { max_body_bytes: 1024, ..settings() }).await;
    let body = json!({"namespace": "test", "name": "flow", "context": {"text": "x".repeat(2000)}});
    assert_eq!(api.post("/v1/tasks", body).await.problem(), (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_cancelled_in_the_database_too() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let api = serve_with(
        engine.pool(),
        ApiSettings { request_timeout: Duration::from_secs(1), ..settings() },
    )
    .await;
    engine
        .break_function(
            "task_status",
            "if not found then",
            "perform pg_sleep(60); if not found then",
        )
        .await;
    let started = Instant::now();
    let answer = api.get("/v1/tasks/00000000-0000-0000-0000-000000000000/status").await;
    assert_eq!(answer.problem(), (504, "timeout".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let running = "select count(*) = 0 from pg_stat_activity where application_name = \
        'tasker-api' and state = 'active'";
    eventually("nothing runs any more", Duration::from_secs(10), async || {
        sqlx::query_scalar::<_, bool>(running).fetch_one(engine.pool()).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn more_requests_than_there_are_places_are_refused() {
    let engine = Engine::new().await;
    let api = serve_with(engine.pool(), ApiSettings { max_requests: 0, ..settings() }).await;
    let answer = api.get("/v1/queues").await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(api.get("/health/live").await.status, 200, "watchers are answered all the same");
}

/// Sends this and reads until the server closes the connection; none: it did not.
async fn read_to_end(address: String, sent: &'static [u8]) -> Option<Vec<u8>> {
    let read = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.write_all(sent).unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            _ => Some(answer),
        }
    });
    read.await.unwrap()
}

#[rstest]
#[case::never_finished(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")]
#[case::idle(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")]
#[case::silent(b"")]
#[tokio::test]
async fn a_client_that_sends_no_request_is_disconnected(#[case] sent: &'static [u8]) {
    let engine = Engine::new().await;
    let api = serve_with(engine.pool(), settings()).await;
    assert!(read_to_end(address(&api), sent).await.is_some(), "the connection stays open");
    assert_eq!(api.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn requests_wait_for_a_connection_and_are_not_told_that_the_database_is_away() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let id = engine.enqueue(json!({})).await;
    let api = serve_with(engine.pool(), ApiSettings { connections: 1, ..settings() }).await;
    let path = format!("/v1/tasks/{id}/status");
    engine
        .break_function(
            "task_status",
            "if not found then",
            "perform pg_sleep(1); if not found then",
        )
        .await;
    let answers = tokio::join!(api.get(&path), api.get(&path), api.get(&path));
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_request_that_gets_no_connection_is_refused_as_one_too_many() {
    let engine = Engine::new().await;
    let request_timeout = Duration::from_secs(2);
    let api =
        serve_with(engine.pool(), ApiSettings { connections: 1, request_timeout, ..settings() })
            .await;
    engine
        .break_function(
            "task_status",
            "if not found then",
            "perform pg_sleep(60); if not found then",
        )
        .await;
    let path = "/v1/tasks/00000000-0000-0000-0000-000000000000/status";
    let answers = tokio::join!(api.get(path), api.get(path));
    let mut told = [answers.0.problem(), answers.1.problem()];
    told.sort();
    assert_eq!(told, [(503, "overloaded".to_owned()), (504, "timeout".to_owned())]);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_taken_for_a_slow_database() {
    let engine = Engine::new().await;
    let timeout = Duration::from_millis(500);
    let api =
        serve_with(engine.pool(), ApiSettings { request_timeout: timeout, ..settings() }).await;
    let ask = b"POST /v1/prune HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
        application/json\r\nContent-Length: 99\r\n\r\n{";
    let answer = read_to_end(address(&api), ask).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"body_timeout\""), "{answer}");
}

#[tokio::test]
async fn more_connections_than_there_are_places_are_closed() {
    let engine = Engine::new().await;
    let api = serve_with(engine.pool(), ApiSettings { max_connections: 2, ..settings() }).await;
    let open = |_| TcpStream::connect(address(&api)).unwrap();
    let held: Vec<TcpStream> = (0..2).map(open).collect();
    let asked =
        read_to_end(address(&api), b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(asked, Some(Vec::new()), "closed without an answer");
    drop(held);
    eventually("a place is free again", Duration::from_secs(20), async || {
        api.request(reqwest::Method::GET, "/health/live").send().await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_disconnected() {
    let engine = Engine::new().await;
    let stall = Duration::from_millis(500);
    let settings = ApiSettings { max_connections: 1, write_timeout: stall, ..settings() };
    let api = serve_with(engine.pool(), settings).await;
    let mut held = TcpStream::connect(address(&api)).unwrap();
    // More than the buffers on the way can take.
    let ask = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    held.write_all(ask.as_bytes()).unwrap();
    eventually("its place is free", Duration::from_secs(20), async || {
        api.request(reqwest::Method::GET, "/health/live").send().await.is_ok()
    })
    .await;
    drop(held);
}

#[tokio::test]
async fn tls_is_served_and_changed_certificates_are_taken() {
    let engine = Engine::new().await;
    rustls::crypto::ring::default_provider().install_default().ok();
    let made = || {
        generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
    };
    let (first, second) = (made(), made());
    let (cert, key) =
        (TestFile::new(&first.cert.pem()), TestFile::new(&first.signing_key.serialize_pem()));
    let tls = TlsFiles { cert: cert.0.clone(), key: key.0.clone() };
    let api = serve_with(engine.pool(), ApiSettings { tls: Some(tls.clone()), ..settings() }).await;
    let trusting = |pem: String| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root]).build().unwrap()
    };
    let url = format!("{}/health", api.url);
    assert!(url.starts_with("https://"));
    assert_eq!(trusting(first.cert.pem()).get(&url).send().await.unwrap().status(), 200);
    assert!(trusting(second.cert.pem()).get(&url).send().await.is_err());
    std::fs::write(&cert.0, second.cert.pem()).unwrap();
    std::fs::write(&key.0, second.signing_key.serialize_pem()).unwrap();
    eventually("the new certificate is shown", Duration::from_secs(30), async || {
        trusting(second.cert.pem()).get(&url).send().await.is_ok()
    })
    .await;
    let breaker = pgtasker_core::breaker::Breaker::new(engine.pool(), api.health.clone());
    let wrong = TlsFiles { cert: key.0.clone(), key: tls.key };
    let wrong = ApiSettings { tls: Some(wrong), ..settings() };
    let refused =
        pgtasker_api::Server::bind(&wrong, engine.pool(), breaker, None, Default::default());
    assert!(refused.await.unwrap_err().to_string().contains("PEM"));
}

#[tokio::test]
async fn requests_that_wait_for_a_key_leave_connections_to_the_others() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let mut held = engine.pool().begin().await.unwrap();
    sqlx::query("select tasker.enqueue_task('test', 'flow', '{}', p_idempotency_key => 'held')")
        .execute(&mut *held)
        .await
        .unwrap();
    let api = serve_with(engine.pool(), settings()).await;
    let body = json!({"namespace": "test", "name": "flow", "idempotency_key": "held"});
    let waiting =
        futures_util::future::join_all((0..30).map(|_| api.post("/v1/tasks", body.clone())));
    let looking = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let since = Instant::now();
        let answer = api.get("/v1/queues").await;
        (answer.status, since.elapsed())
    };
    let (answers, (status, took)) = tokio::join!(waiting, looking);
    assert_eq!(status, 200);
    assert!(took < Duration::from_secs(1), "{took:?}");
    for answer in answers {
        assert_eq!(answer.problem(), (503, "busy".to_owned()), "{}", answer.text);
        assert!(
            answer.headers.contains_key("retry-after") && answer.text.contains("idempotency key")
        );
    }
    held.rollback().await.unwrap();
    assert_eq!(api.post("/v1/tasks", body).await.status, 201);
}
