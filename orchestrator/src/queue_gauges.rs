//! Refreshes the gauges of queue depth every now and then.

use crate::actor::{Actor, Called};
use std::time::Duration;
use tasker_core::{Result, connection::OwnConnection};
use tasker_queues::metrics::refresh_queue_gauges;

/// Counting the messages of a long queue takes a while.
const INTERVAL: Duration = Duration::from_secs(15);

/// The loop around [`refresh_queue_gauges`].
pub(crate) struct QueueGauges(pub(crate) OwnConnection);

impl Actor for QueueGauges {
    const NAME: &'static str = "queue_gauges";

    async fn call(&mut self) -> Result<Called> {
        let queues = self.0.call(async |connection| refresh_queue_gauges(connection).await).await?;
        Ok(Called { handled: queues.len() as u64, more: false })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}
