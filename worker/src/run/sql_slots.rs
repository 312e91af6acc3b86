//! Which steps may hold a connection of the worker's pool: `sql` handlers, and handlers with a
//! transaction of their step.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// Connections that they leave for claims and results, and to listen.
const SPARE: u32 = 3;
/// A step that waits for longer is worth a word.
const LONG: Duration = Duration::from_secs(5);
/// Which is not said again before.
const AGAIN: Duration = Duration::from_secs(60);

/// One slot for each connection that they may hold at the same time.
#[derive(Debug)]
pub(crate) struct SqlSlots {
    free: Arc<Semaphore>,
    connections: u32,
    long: Duration,
    told: Mutex<Option<Instant>>,
}

impl SqlSlots {
    /// For a pool with this many connections.
    pub(crate) fn new(connections: u32) -> Self {
        let slots = connections.saturating_sub(SPARE).max(1) as usize;
        Self {
            free: Arc::new(Semaphore::new(slots)),
            connections,
            long: LONG,
            told: Mutex::default(),
        }
    }

    /// Waits for one; None: the worker is stopping. Says so where that takes long: nothing else
    /// tells.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let mut slot = std::pin::pin!(Arc::clone(&self.free).acquire_owned());
        match timeout(self.long, slot.as_mut()).await {
            Ok(slot) => slot.ok(),
            Err(_) => {
                self.tell();
                slot.await.ok()
            }
        }
    }

    fn tell(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() > AGAIN) {
            *told = Some(Instant::now());
            tracing::warn!(
                pool = self.connections,
                "steps have waited for a connection of the pool for {:?}: give it more \
                 (max_connections, --connections), or run fewer steps at once (concurrency)",
                self.long
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_waits_long_for_a_slot_says_so_and_gets_it_after_all() {
        let slots = SqlSlots { long: Duration::from_millis(10), ..SqlSlots::new(4) };
        let held = slots.acquire().await.unwrap();
        let (waited, ()) = tokio::join!(slots.acquire(), async {
            while slots.told.lock().unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            drop(held);
        });
        assert!(waited.is_some());
    }
}
