//! The database is away: said at once, and over as soon as it is back.

use crate::server::{serve_with, settings};
use pgtasker_tests::{Network, Proxy, engine::Engine, eventually};
use sqlx::postgres::PgPoolOptions;
use std::time::{Duration, Instant};

async fn outage(network: Network) {
    let engine = Engine::new().await;
    let proxy = Proxy::to(&engine.db.url).await;
    let pool = PgPoolOptions::new().connect_lazy(&proxy.url(&engine.db.url)).unwrap();
    let api = serve_with(&pool, settings()).await;
    assert_eq!(api.get("/v1/queues").await.status, 200);
    assert_eq!(api.get("/health/ready").await.status, 200);
    proxy.set(network);
    let started = Instant::now();
    let answer = api.get("/v1/queues").await;
    assert_eq!(answer.problem(), (503, "database_unavailable".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    eventually("it is not ready", Duration::from_secs(20), async || {
        api.get("/health/ready").await.status == 503
    })
    .await;
    let started = Instant::now();
    assert_eq!(api.get("/v1/queues").await.problem(), (503, "database_unavailable".to_owned()));
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "with the circuit open nothing is tried: {:?}",
        started.elapsed()
    );
    assert_eq!(api.get("/health/live").await.status, 200);
    proxy.set(Network::Up);
    eventually("it answers again", Duration::from_secs(30), async || {
        api.get("/v1/queues").await.status == 200
    })
    .await;
    assert_eq!(api.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn a_server_that_has_ended() {
    outage(Network::Down).await;
}

#[tokio::test]
async fn a_host_that_is_silent() {
    outage(Network::Silent).await;
}
