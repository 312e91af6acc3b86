//! The HTTP client of a worker.

use crate::StepError;
use reqwest::{Client, redirect};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of one worker to other services; made at the first use, since that loads the
/// system's certificates.
#[derive(Clone, Default)]
pub(crate) struct HttpClient(Arc<OnceCell<Client>>);

impl HttpClient {
    /// Made at the first use.
    pub(crate) async fn get(&self) -> Result<&Client, StepError> {
        self.0.get_or_try_init(|| async { client() }).await
    }
}

/// What every client of a worker has in common.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    // Fails only where the process has one already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .user_agent(concat!("tasker/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
}

fn client() -> Result<Client, StepError> {
    let builder = client_builder();
    // Tests talk to this machine, whatever proxy its environment names.
    #[cfg(test)]
    let builder = builder.no_proxy();
    Ok(builder.build()?)
}
