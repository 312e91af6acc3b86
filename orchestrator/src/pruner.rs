//! Pruner: removes finished tasks and closed dead letters that are older than their retention.

use crate::actor::{Actor, Called};
use pgtasker_core::{Result, connection::OwnConnection, failpoint};
use std::time::Duration;

/// Tasks and dead letters in one transaction.
const BATCH: i32 = 500;
/// Between two looks when nothing is old enough.
const EVERY: Duration = Duration::from_secs(60);
/// Between two batches, so that deleting takes a part of the server only.
const PAUSE: Duration = Duration::from_millis(250);

/// The actor behind the retention; of several orchestrators, one at a time prunes.
pub(crate) struct Pruner {
    connection: OwnConnection,
    wait: Duration,
}

impl Pruner {
    pub(crate) fn new(connection: OwnConnection) -> Self {
        Self { connection, wait: EVERY }
    }
}

impl Actor for Pruner {
    const NAME: &'static str = "pruner";

    async fn call(&mut self) -> Result<Called> {
        let removed: (i32, i32) = self
            .connection
            .call(async |connection| {
                sqlx::query_as("select tasks, dead_letters from tasker.prune($1)")
                    .bind(BATCH)
                    .fetch_one(connection)
                    .await
            })
            .await?;
        failpoint::reach("pruner.after_call");
        let removed = [removed.0, removed.1].map(|n| u64::try_from(n).unwrap_or(0));
        metrics::counter!("tasker_tasks_pruned_total").increment(removed[0]);
        metrics::counter!("tasker_dead_letters_pruned_total").increment(removed[1]);
        let handled = removed.iter().sum();
        self.wait = if handled > 0 { PAUSE } else { EVERY };
        Ok(Called { handled, more: false })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.wait).await;
    }
}
