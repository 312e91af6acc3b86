//! Takes claimed steps from the dispatch channel and starts each on a task of its own.

use crate::{claims::Claim, claims::Ticket, run_step::Runner};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::TaskTracker;

/// A claimed step with the permit it runs under.
pub(crate) struct Dispatched {
    pub(crate) claim: Claim,
    pub(crate) ticket: Ticket,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Runs until the fetcher is gone and the channel is empty. Each step has its permit already, so that
/// nothing waits here and no more tasks exist than permits.
pub(crate) async fn run(mut steps: mpsc::Receiver<Dispatched>, runner: Arc<Runner>, tracker: TaskTracker) {
    while let Some(step) = steps.recv().await {
        tracker.spawn(Arc::clone(&runner).run(step));
    }
}
