//! WorkerStatusActor: the heartbeat by which views and operators know this worker.

use crate::worker::Shared;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tasker_queues::Wakeups;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct WorkerStatusActor {
    shared: Arc<Shared>,
    wakeups: Wakeups,
    namespaces: Vec<String>,
    handlers: Vec<String>,
    host: String,
}

impl WorkerStatusActor {
    pub(crate) async fn new(shared: Arc<Shared>, wakeups: Wakeups, namespaces: Vec<String>) -> Self {
        let mut handlers: Vec<String> = shared.handlers.keys().cloned().collect();
        handlers.sort_unstable();
        Self { shared, wakeups, namespaces, handlers, host: host().await }
    }

    /// Sends one heartbeat.
    pub(crate) async fn beat(&self) -> tasker_core::Result<()> {
        sqlx::query("select tasker.heartbeat($1, $2, $3, $4)")
            .bind(self.shared.worker_id)
            .bind(&self.namespaces)
            .bind(&self.handlers)
            .bind(self.info())
            .execute(&self.shared.pool)
            .await?;
        Ok(())
    }

    fn info(&self) -> Value {
        json!({
            "host": self.host,
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "concurrency": self.shared.settings.concurrency,
            "in_flight": self.shared.claims.len(),
            "push": self.wakeups.push_alive(),
        })
    }

    /// A heartbeat every ten seconds until `stop`; the first was sent at start.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let Shared { permits, settings, meters, .. } = &*self.shared;
            meters.permits_in_use(permits, settings.concurrency);
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "cannot send the worker's heartbeat; will try again");
            }
        }
    }
}

/// The name of this machine, as well as it can be known without a system call of our own.
async fn host() -> String {
    let kernel = tokio::fs::read_to_string("/proc/sys/kernel/hostname").await.unwrap_or_default();
    let found = match kernel.trim() {
        "" => tokio::process::Command::new("hostname")
            .output()
            .await
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default(),
        name => name.to_owned(),
    };
    if found.is_empty() { "unknown".to_owned() } else { found }
}
