//! The way of a claimed step to its handler: held, and into the dispatch channel.

use super::{Claim, StepKey, Ticket};
use crate::shared::Shared;
use std::{sync::Arc, time::Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// A claimed step with the permit it runs under.
pub(crate) struct Dispatched {
    pub(crate) claim: Claim,
    pub(crate) ticket: Ticket,
    pub(crate) permit: OwnedSemaphorePermit,
    /// Where the step runs alone.
    pub(crate) alone: Option<OwnedSemaphorePermit>,
    /// When the answer to the claim had come.
    pub(crate) claimed: Instant,
}

/// Dispatches steps claimed by a call made at `since`, each with one of the permits. Returns those
/// that are to be released, as the worker is shutting down; then the channel may be gone.
pub(crate) async fn start(
    shared: &Shared,
    dispatch: Option<&mpsc::Sender<Dispatched>>,
    claims: Vec<Claim>,
    permits: &mut OwnedSemaphorePermit,
    since: Instant,
    shutdown: &CancellationToken,
) -> Vec<Ticket> {
    let (mut left, mut begun, claimed) = (Vec::new(), Vec::new(), Instant::now());
    for claim in claims {
        let ticket = hold(shared, &claim, since);
        let permit = permits.split(1).filter(|_| dispatch.is_some() && !shutdown.is_cancelled());
        match permit {
            Some(permit) => begun.push(Dispatched { claim, ticket, permit, alone: None, claimed }),
            None => left.push(ticket),
        }
    }
    if let Some(dispatch) = dispatch.filter(|_| !begun.is_empty()) {
        // All at once: else the first would begin alone, and its result be submitted alone. The
        // channel has room for as many as there are permits.
        match dispatch.reserve_many(begun.len()).await {
            Ok(places) => places.zip(begun).for_each(|(place, step)| place.send(step)),
            Err(_) => left.extend(begun.into_iter().map(|step| step.ticket)),
        }
    }
    shared.sample();
    if let Some(dispatch) = dispatch {
        shared.meters.dispatch_depth.set(dispatch.max_capacity() - dispatch.capacity());
    }
    left
}

/// Holds a step claimed by a call made at `since`.
pub(crate) fn hold(shared: &Shared, claim: &Claim, since: Instant) -> Ticket {
    let key = StepKey { task_id: claim.task_id, step: Arc::clone(&claim.step) };
    let lease = claim.lease.unwrap_or(shared.settings.lease);
    let ticket = shared.claims.hold(key, claim.correlation_id, claim.claim_no, since, lease);
    ticket.weigh(claim.bytes);
    ticket
}

/// Lets the completion side claim what follows from the results it submits: a chain of steps then
/// takes one call a step, and no message wakes anyone on the way.
pub(crate) struct FollowUp {
    pub(crate) shared: Arc<Shared>,
    /// Weak: the channel closes when the fetcher ends.
    pub(crate) dispatch: mpsc::WeakSender<Dispatched>,
    pub(crate) shutdown: CancellationToken,
}

impl FollowUp {
    /// Half of the free permits: the fetcher, which serves what others have sent, finds the rest.
    pub(crate) fn permits(&self) -> Option<OwnedSemaphorePermit> {
        if self.shutdown.is_cancelled() || !self.shared.claims.have_room() {
            return None;
        }
        let half = self.shared.permits.available_permits().div_ceil(2);
        let permits = Arc::clone(&self.shared.permits);
        let permits = permits.try_acquire_many_owned(half.try_into().ok()?).ok()?;
        // Looked at when it has them: a step that is to run alone waits for them then.
        (self.shared.alone.available_permits() > 0).then_some(permits)
    }

    /// See [`start`].
    pub(crate) async fn start(
        &self,
        claims: Vec<Claim>,
        mut permits: OwnedSemaphorePermit,
        since: Instant,
    ) -> Vec<Ticket> {
        let dispatch = self.dispatch.upgrade();
        start(&self.shared, dispatch.as_ref(), claims, &mut permits, since, &self.shutdown).await
    }
}
