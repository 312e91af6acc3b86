//! The HTTP API in the test's own process.

use pgtasker_api::{ApiSettings, Server};
use pgtasker_core::{breaker::Breaker, health::Health};
use sqlx::PgPool;
use std::net::{Ipv4Addr, SocketAddr};
use tokio_util::sync::CancellationToken;

/// An HTTP API of a database, on a port of its own, until it is dropped.
pub struct ApiServer {
    /// `http://127.0.0.1:…`
    pub url: String,
    shutdown: CancellationToken,
}

impl ApiServer {
    /// Open, with the usual settings.
    pub async fn start(pool: &PgPool) -> Self {
        let settings = ApiSettings::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self::with(&settings, pool).await
    }

    /// With these settings.
    pub async fn with(settings: &ApiSettings, pool: &PgPool) -> Self {
        let shutdown = CancellationToken::new();
        let breaker = Breaker::new(pool, Health::new());
        let server = Server::bind(settings, pool, breaker, None, shutdown.clone()).await.unwrap();
        let url = server.url();
        tokio::spawn(server.run());
        Self { url, shutdown }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
