//! Tells the database what came of the events, everything that has gathered in one call, until it
//! is taken.

use super::{
    handling::{Handled, Verdict},
    shared::Shared,
};
use pgtasker_core::{Result, connection::OwnConnection, db::Retry, pooler::DbConnection};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Keeps one commit short.
const MAX_BATCH: usize = 500;

/// pgmq counts seconds in 32 bits, and a handler may ask for any delay.
const MAX_DELAY_MS: u64 = i32::MAX as u64 * 1_000;

/// See the module.
pub(super) struct Finisher {
    shared: Arc<Shared>,
    handled: mpsc::Receiver<Handled>,
    connection: OwnConnection,
}

impl Finisher {
    pub(super) fn new(
        shared: Arc<Shared>,
        handled: mpsc::Receiver<Handled>,
        connection: OwnConnection,
    ) -> Self {
        Self { shared, handled, connection }
    }

    /// Runs until nobody is left who could send anything.
    pub(super) async fn run(mut self) {
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut batch = Vec::new();
        while self.handled.recv_many(&mut batch, MAX_BATCH).await > 0 {
            while let Err(error) = self.finish(&batch).await {
                let (delay, tell) = retry.failed(&error);
                if tell {
                    tracing::warn!(
                        namespace = self.shared.namespace,
                        %error,
                        ?delay,
                        "cannot finish events; will try again"
                    );
                }
                tokio::time::sleep(delay).await;
            }
            retry.over();
            self.count(&batch);
            // With it go the permits.
            batch.clear();
        }
    }

    async fn finish(&mut self, batch: &[Handled]) -> Result<()> {
        let of = |verdict: &Verdict| *verdict == Verdict::Done;
        let done: Vec<i64> = batch.iter().filter(|h| of(&h.verdict)).map(|h| h.msg_id).collect();
        let failed: Value = batch.iter().filter_map(|handled| self.failed(handled)).collect();
        if done.is_empty() && failed == json!([]) {
            return Ok(());
        }
        let namespace = &self.shared.namespace;
        let finish = async |connection: &mut DbConnection<'_>| {
            sqlx::query("select tasker.finish_events($1, $2, $3)")
                .bind(namespace)
                .bind(&done)
                .bind(&failed)
                .execute(connection)
                .await
                .map(drop)
        };
        self.connection.call(finish).await
    }

    /// An element of `p_failed`. None: the event has become visible by itself, and may be somebody
    /// else's now.
    fn failed(&self, handled: &Handled) -> Option<Value> {
        let Handled { msg_id, read_at, verdict, .. } = handled;
        let late = read_at.elapsed() >= self.shared.settings.visible;
        match verdict {
            Verdict::Done => None,
            Verdict::Dead { error } => {
                Some(json!({"msg_id": msg_id, "error": error, "dead": true}))
            }
            Verdict::Return | Verdict::Retry { .. } if late => None,
            Verdict::Return => Some(json!({"msg_id": msg_id, "delay_ms": 0})),
            Verdict::Retry { delay } => {
                let delay_ms =
                    u64::try_from(delay.as_millis()).unwrap_or(MAX_DELAY_MS).min(MAX_DELAY_MS);
                Some(json!({"msg_id": msg_id, "delay_ms": delay_ms}))
            }
        }
    }

    fn count(&self, batch: &[Handled]) {
        let meters = &self.shared.meters;
        for handled in batch {
            let counter = match handled.verdict {
                Verdict::Done => &meters.done,
                Verdict::Return => &meters.returned,
                Verdict::Retry { .. } => &meters.retried,
                Verdict::Dead { .. } => &meters.dead,
            };
            counter.increment(1);
        }
    }
}
