//! A server of a test's own, and asking it.

use pgtasker_api::{ApiSettings, Server};
use pgtasker_core::{
    breaker::Breaker,
    health::{Health, Problem},
};
use pgtasker_tests::engine::Engine;
use reqwest::{Method, Response, StatusCode, header::HeaderMap};
use serde_json::Value;
use sqlx::PgPool;
use std::path::PathBuf;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Serves on a free port until it is dropped.
pub struct Api {
    pub url: String,
    pub client: reqwest::Client,
    pub health: Health,
    /// Sent with each request.
    pub key: Option<String>,
    pub stop: CancellationToken,
    _stopped: DropGuard,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Status and code of a problem, which must be one.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["correlation_id"], self.headers["x-correlation-id"].to_str().unwrap());
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }
}

pub fn settings() -> ApiSettings {
    ApiSettings::new("127.0.0.1:0".parse().unwrap())
}

/// A server on the database of an engine.
pub async fn serve(engine: &Engine) -> Api {
    serve_with(engine.pool(), settings()).await
}

pub async fn serve_with(pool: &PgPool, settings: ApiSettings) -> Api {
    rustls::crypto::ring::default_provider().install_default().ok();
    let health = Health::new();
    health.clear(Problem::NotRunning);
    let stop = CancellationToken::new();
    let breaker = Breaker::new(pool, health.clone());
    let server = Server::bind(&settings, pool, breaker, None, stop.clone()).await.unwrap();
    let url = server.url();
    tokio::spawn(server.run());
    let guard = stop.clone().drop_guard();
    Api { url, client: reqwest::Client::new(), health, key: None, stop, _stopped: guard }
}

impl Api {
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response: Response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method.parse().unwrap(), path);
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }
}

/// A file that goes with the test.
pub struct TestFile(pub PathBuf);

impl TestFile {
    pub fn new(content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tasker-api-{}", Uuid::new_v4()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}
