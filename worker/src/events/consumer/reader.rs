//! The one reader of a consumer: reads as many events as can be handled at once, never more, so
//! that none waits here while its visibility runs out.

use super::handling::{Handling, Message};
use crate::claim::executor::free_permits;
use pgtasker_core::{
    Result, connection::OwnConnection, db::Retry, health::Problem, pooler::DbConnection,
};
use pgtasker_queues::Waiter;
use serde_json::Value;
use sqlx::{Row, postgres::PgRow};
use std::{
    pin::pin,
    time::{Duration, Instant},
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;

/// Refused until the first template of the namespace is applied, and until one with durable events
/// is.
const NOTHING_YET: [&str; 2] = ["TK001", "TK050"];

/// See the module.
pub(super) struct Reader {
    handling: Handling,
    waiter: Waiter,
    connection: OwnConnection,
    retry: Retry,
    /// Said in the log that there is no queue yet.
    told: bool,
}

impl Reader {
    pub(super) fn new(handling: Handling, waiter: Waiter, connection: OwnConnection) -> Self {
        let retry = Retry::new(Duration::from_millis(100), Duration::from_secs(5));
        Self { handling, waiter, connection, retry, told: false }
    }

    /// Runs until `shutdown`; a read in flight is awaited, and what it brings is handled.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let (batch, poll_interval) =
            (self.handling.shared.settings.batch, self.handling.shared.settings.poll_interval);
        loop {
            let Some(mut permits) = self.permits(batch, &shutdown).await else { return };
            let asked = permits.num_permits();
            let pause = match self.read(asked).await {
                Ok(messages) => {
                    let found = messages.len();
                    for message in messages {
                        if let Some(permit) = permits.split(1) {
                            self.handling.start(message, permit);
                        }
                    }
                    if !self.waiter.may_wait_after(found, asked) {
                        continue;
                    }
                    None
                }
                // Asked to stop while it waited for a connection.
                Err(_) if shutdown.is_cancelled() => return,
                Err(error) => self.failed(&error),
            };
            drop(permits);
            let wait = async {
                match pause {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => self.waiter.wait(poll_interval).await,
                }
            };
            if shutdown.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    /// Places for events; not healthy while handlers that go on after their time have them all.
    async fn permits(
        &self,
        max: usize,
        shutdown: &CancellationToken,
    ) -> Option<OwnedSemaphorePermit> {
        let shared = &self.handling.shared;
        let mut free = pin!(free_permits(&shared.permits, max, shutdown));
        // No handler may take as long.
        if let Ok(permits) = timeout(shared.settings.visible, &mut free).await {
            return permits;
        }
        let (health, problem) = (shared.breaker.health(), Problem::Slots(shared.id));
        let reason = format!(
            "all {} places of the consumer of {} are taken by handlers that go on after their time",
            shared.settings.concurrency, shared.namespace
        );
        tracing::warn!("{reason}");
        health.set(problem, reason);
        let permits = free.await;
        health.clear(problem);
        permits
    }

    /// Never cancelled on the way: events read by a call that nobody waits for would wait for their
    /// visibility.
    async fn read(&mut self, max: usize) -> Result<Vec<Message>> {
        let (shared, read_at) = (&self.handling.shared, Instant::now());
        let max = i32::try_from(max).unwrap_or(i32::MAX);
        let read = async |connection: &mut DbConnection<'_>| {
            sqlx::query("select msg_id, read_ct, event from tasker.read_events($1, $2, $3)")
                .bind(&shared.namespace)
                .bind(max)
                .bind(shared.settings.visible)
                .fetch_all(connection)
                .await
        };
        let rows = self.connection.call(read).await?;
        self.retry.over();
        self.told = false;
        Ok(rows.iter().map(|row| message(row, read_at)).collect::<sqlx::Result<_>>()?)
    }

    /// How long to wait; none: until woken.
    fn failed(&mut self, error: &pgtasker_core::Error) -> Option<Duration> {
        let namespace = &self.handling.shared.namespace;
        if error.sqlstate().is_some_and(|code| NOTHING_YET.contains(&code.as_str())) {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(%error, "nothing to read yet: waiting for a template that \
                    publishes durable events");
            }
            return None;
        }
        let (delay, tell) = self.retry.failed(error);
        if tell {
            tracing::warn!(namespace, %error, ?delay, "cannot read events; will try again");
        }
        Some(delay)
    }
}

fn message(row: &PgRow, read_at: Instant) -> sqlx::Result<Message> {
    let attempt: i32 = row.try_get(1)?;
    Ok(Message {
        msg_id: row.try_get(0)?,
        attempt: u32::try_from(attempt).unwrap_or_default(),
        // jsonb holds numbers and depths that serde_json does not.
        event: row.try_get::<Value, _>(2).map_err(|error| error.to_string()),
        read_at,
    })
}
