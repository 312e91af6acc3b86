//! Refreshes the gauges of queue depth, and of how many workers each namespace has, every now and
//! then.

use crate::{
    actor::{Actor, Called},
    meters::read_now,
};
use pgtasker_core::{Result, connection::OwnConnection, pooler::DbConnection};
use pgtasker_queues::metrics::refresh_queue_gauges;
use std::time::Duration;

/// Counting the messages of a long queue takes a while.
const INTERVAL: Duration = Duration::from_secs(15);

/// The loop around [`refresh_queue_gauges`]. Namespaces are never removed, so that no gauge is left
/// behind.
pub(crate) struct QueueGauges(pub(crate) OwnConnection);

impl Actor for QueueGauges {
    const NAME: &'static str = "queue_gauges";

    async fn call(&mut self) -> Result<Called> {
        let queues = self.0.call(async |connection| refresh_queue_gauges(connection).await).await?;
        for (namespace, workers) in self.0.call(live_workers).await? {
            metrics::gauge!("tasker_workers", "namespace" => namespace).set(workers as f64);
        }
        read_now("queues");
        Ok(Called { handled: queues.len() as u64, more: false })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn live_workers(connection: &mut DbConnection<'_>) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as("select namespace, workers from tasker.live_worker_counts()")
        .fetch_all(connection)
        .await
}
