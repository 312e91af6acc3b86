//! WorkerStatusActor: the heartbeat by which views and operators know this worker.

use crate::shared::Shared;
use pgtasker_core::{connection::OwnConnection, db::Retry, failpoint, pooler::DbConnection};
use pgtasker_queues::Wakeups;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct WorkerStatusActor {
    shared: Arc<Shared>,
    connection: OwnConnection,
    wakeups: Wakeups,
    namespaces: Vec<String>,
    host: String,
}

impl WorkerStatusActor {
    pub(crate) async fn new(
        shared: Arc<Shared>,
        wakeups: Wakeups,
        namespaces: Vec<String>,
        stop: &CancellationToken,
    ) -> Self {
        let connection = shared.connection(false, stop);
        Self { shared, connection, wakeups, namespaces, host: host().await }
    }

    /// The same on connections of this pool.
    pub(crate) fn on(mut self, pool: &PgPool, stop: &CancellationToken) -> Self {
        self.connection = self.shared.connection_of(pool, false, stop);
        self
    }

    /// Sends one heartbeat.
    pub(crate) async fn beat(&mut self) -> pgtasker_core::Result<()> {
        let (info, handlers) = (self.info(), self.shared.handlers.offered());
        let beat = async |connection: &mut DbConnection<'_>| {
            sqlx::query("select tasker.heartbeat($1, $2, $3, $4)")
                .bind(self.shared.worker_id)
                .bind(&self.namespaces)
                .bind(handlers)
                .bind(info)
                .execute(connection)
                .await
        };
        self.connection.call(beat).await?;
        failpoint::reach("worker.after_heartbeat");
        Ok(())
    }

    fn info(&self) -> Value {
        json!({
            "host": self.host,
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "concurrency": self.shared.settings.concurrency,
            "in_flight": self.shared.running(),
            "push": self.wakeups.push_alive(),
        })
    }

    /// A heartbeat every ten seconds, or every third of a shorter lease, until `stop`; the first
    /// was sent at start.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        // So that one who finds a lease that ran out can tell whether the worker lives.
        let every = EVERY.min(self.shared.settings.lease / 3);
        let mut retry =
            Retry::new(Duration::from_millis(200), every.max(Duration::from_millis(300)));
        let mut pause = every;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let Some(beat) = stop.run_until_cancelled(self.beat()).await else { return };
            pause = match beat {
                Ok(()) => {
                    retry.over();
                    every
                }
                Err(error) => {
                    let (delay, tell) = retry.failed(&error);
                    if tell {
                        tracing::warn!(%error, "cannot send the worker's heartbeat; will try \
                            again");
                    }
                    delay
                }
            };
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
