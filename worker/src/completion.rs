//! The completion side: takes what has gathered in the completion channel and submits it in one call.
//! While that call is in flight, more arrives; so batches grow with the load, and no timer is needed.

use crate::{
    StepError,
    claims::{StepKey, Ticket},
    dispatch::FollowUp,
    events::StepEvent,
    meters::Meters,
    storable::json_bytes,
    submit::{SubmitElement, Submitter},
};
use serde::{Serialize, Serializer};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tasker_core::{Error, StepOutcome, db::Retry, failpoint};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Keeps one submit's transaction short.
const MAX_BATCH: usize = 500;
/// Bytes of JSON in one submit: PostgreSQL takes no document over 256 MB.
const MAX_BYTES: usize = 16 << 20;
/// The SQLSTATE of a document over that limit, or of another limit of the server: it will not pass.
const OVER_LIMIT: &str = "54000";
/// Places of the channel: room for the results of a second round of steps while those of the first are submitted.
pub(crate) fn capacity(concurrency: usize) -> usize {
    concurrency.max(64)
}

/// The reason of a release, for the audit.
pub(crate) const SHUT_DOWN: &str = "the worker was shut down";

/// What is to be told to the database about one held step.
pub(crate) struct Completed {
    pub(crate) ticket: Ticket,
    pub(crate) report: Report,
}

/// See [`Completed`].
pub(crate) enum Report {
    /// The handler ended.
    Result { outcome: StepOutcome, events: Vec<StepEvent>, duration_ms: u64 },
    /// The step was not run, or not to its end: it goes back to its queue, attempt not counted.
    Release { delay: Duration, reason: String },
}

/// A result on its way. The ticket keeps the lease extended until the database has it.
pub(crate) struct Finished {
    pub(crate) ticket: Ticket,
    pub(crate) outcome: StepOutcome,
    pub(crate) events: Vec<StepEvent>,
    pub(crate) duration_ms: u64,
}

impl Serialize for Finished {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let element = SubmitElement {
            task_id: self.ticket.key.task_id,
            step: &self.ticket.key.step,
            claim_no: self.ticket.claim_no,
            outcome: &self.outcome,
            events: &self.events,
            duration_ms: self.duration_ms,
        };
        element.serialize(serializer)
    }
}

/// Submits results and releases, one call at a time.
pub(crate) struct CompletionActor<S> {
    submitter: S,
    reports: mpsc::Receiver<Completed>,
    /// None: what follows is left to the queue.
    follow_up: Option<FollowUp>,
    meters: Arc<Meters>,
    retry: Retry,
}

impl<S: Submitter> CompletionActor<S> {
    pub(crate) fn new(
        submitter: S,
        reports: mpsc::Receiver<Completed>,
        follow_up: Option<FollowUp>,
        meters: Arc<Meters>,
    ) -> Self {
        let retry = Retry::new(Duration::from_millis(50), Duration::from_secs(5));
        Self { submitter, reports, follow_up, meters, retry }
    }

    /// Runs until every sender is gone, or after `finish` until the channel is empty.
    pub(crate) async fn run(mut self, finish: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let received = tokio::select! {
                biased;
                n = self.reports.recv_many(&mut batch, MAX_BATCH) => n,
                () = finish.cancelled(), if !self.reports.is_closed() => {
                    self.reports.close();
                    continue;
                }
            };
            if received == 0 {
                return;
            }
            // Handlers that are ready to end do so first: else a batch of one would precede every large one.
            tokio::task::yield_now().await;
            while batch.len() < MAX_BATCH
                && let Ok(more) = self.reports.try_recv()
            {
                batch.push(more);
            }
            self.meters.completion_depth.set(self.reports.len() + batch.len());
            self.deliver(&mut batch).await;
            self.meters.completion_depth.set(self.reports.len());
        }
    }

    async fn deliver(&mut self, batch: &mut Vec<Completed>) {
        let mut results = Vec::with_capacity(batch.len());
        let mut releases: HashMap<(Duration, String), Vec<Ticket>> = HashMap::new();
        for Completed { ticket, report } in batch.drain(..) {
            match report {
                Report::Result { outcome, events, duration_ms } => {
                    results.push(Finished { ticket, outcome, events, duration_ms })
                }
                Report::Release { delay, reason } => {
                    releases.entry((delay, reason)).or_default().push(ticket)
                }
            }
        }
        for results in by_size(results, MAX_BYTES) {
            self.submit(results).await;
        }
        for ((delay, reason), tickets) in releases {
            self.release(&tickets, delay, &reason).await;
        }
    }

    /// Returns when the database has answered for every result.
    async fn submit(&mut self, results: Vec<Finished>) {
        let mut again = false;
        loop {
            match self.try_submit(&results, again).await {
                Ok(()) => return,
                Err(error) if passes(&error) => self.pause("submit results", &error).await,
                Err(error) => {
                    tracing::warn!(%error, results = results.len(), "a batch of results was refused: submitting one by one");
                    break;
                }
            }
            again = true;
        }
        for result in results {
            self.submit_one(result).await;
        }
    }

    /// A result that cannot be stored goes without its events, which become dead letters; if that is not why, it becomes a
    /// permanent failure that says so. When not even that can be stored, the result is not to blame: it is kept and tried again.
    async fn submit_one(&mut self, mut result: Finished) {
        let (mut again, mut is_stripped) = (false, false);
        loop {
            let error = match self.try_submit(std::slice::from_ref(&result), again).await {
                Ok(()) => return,
                Err(error) => error,
            };
            again = true;
            if passes(&error) {
                self.pause("submit a result", &error).await;
                continue;
            }
            if !is_stripped && !result.events.is_empty() {
                let why = format!("the database refused it: {error}");
                result.events.iter_mut().for_each(|event| event.withhold(&why));
                is_stripped = true;
                continue;
            }
            let kept = std::mem::replace(&mut result.outcome, refused(&error));
            // They tell of the result that was refused.
            let events = std::mem::take(&mut result.events);
            match self.try_submit(std::slice::from_ref(&result), again).await {
                Ok(()) => {
                    let StepKey { task_id, step } = &result.ticket.key;
                    let correlation_id = result.ticket.correlation();
                    tracing::warn!(%task_id, correlation_id, %step, %error, "the database refused this result: the step fails");
                    return;
                }
                Err(_) => (result.outcome, result.events) = (kept, events),
            }
            self.pause("submit a result", &error).await;
        }
    }

    /// `again`: an earlier call with these results may have been committed, its answer not heard.
    async fn try_submit(&mut self, results: &[Finished], again: bool) -> tasker_core::Result<()> {
        let permits = self.follow_up.as_ref().and_then(FollowUp::permits);
        let max_claims = permits.as_ref().map_or(0, |permits| permits.num_permits());
        let since = Instant::now();
        failpoint::reach("worker.before_submit");
        let submitted = self.submitter.submit(results, max_claims).await?;
        self.meters.submit_seconds.record(since.elapsed());
        self.meters.submit_size.record(results.len() as f64);
        failpoint::reach("worker.after_submit");
        if !submitted.claims.is_empty() {
            failpoint::reach("worker.after_follow_up");
        }
        let mut left = Vec::new();
        if let (Some(follow_up), Some(permits)) = (&self.follow_up, permits)
            && !submitted.claims.is_empty()
        {
            self.meters.claimed_steps.increment(submitted.claims.len() as u64);
            left = follow_up.start(submitted.claims, permits, since).await;
        }
        let announces = results.iter().any(|result| !result.events.is_empty());
        for answer in submitted.answers {
            self.meters.result(&answer.status);
            let (task_id, step, status) = (answer.task_id, answer.step, answer.status);
            let of = |key: &StepKey| key.task_id == task_id && *key.step == *step;
            if status != "accepted" {
                let ticket = results.iter().map(|result| &result.ticket).find(|ticket| of(&ticket.key));
                let correlation_id = ticket.and_then(Ticket::correlation);
                tracing::info!(%task_id, correlation_id, %step, %status, "a result did not count");
            }
            if announces && (status == "accepted" || again && status == "duplicate") {
                // Where a lease ran out, two claims of the step may be among them: only the later can count.
                let claims = results.iter().filter(|result| of(&result.ticket.key));
                if let Some(result) = claims.max_by_key(|result| result.ticket.claim_no) {
                    self.submitter.announce(&result.events);
                }
            }
        }
        self.retry.over();
        if !left.is_empty() {
            self.release(&left, Duration::ZERO, SHUT_DOWN).await;
        }
        Ok(())
    }

    async fn release(&mut self, tickets: &[Ticket], delay: Duration, reason: &str) {
        let claims: Vec<_> = tickets.iter().map(|ticket| (&ticket.key, ticket.claim_no)).collect();
        loop {
            failpoint::reach("worker.before_release");
            match self.submitter.release(&claims, delay, reason).await {
                Ok(()) => {
                    failpoint::reach("worker.after_release");
                    self.meters.released.increment(claims.len() as u64);
                    self.retry.over();
                    return;
                }
                Err(error) if error.is_transient() => self.pause("release steps", &error).await,
                Err(error) => {
                    tracing::error!(%error, steps = claims.len(), "cannot release steps: they wait for their leases to run out");
                    return;
                }
            }
        }
    }

    async fn pause(&mut self, what: &str, error: &Error) {
        let (delay, tell) = self.retry.failed(error);
        if tell {
            tracing::warn!(%error, ?delay, "cannot {what}; nothing is lost, will try again");
        }
        tokio::time::sleep(delay).await;
    }
}

/// Whether the same call may be taken later.
fn passes(error: &Error) -> bool {
    error.is_transient() && error.sqlstate().as_deref() != Some(OVER_LIMIT)
}

/// The results in their order, in calls of at most so many bytes; one that is larger goes alone.
fn by_size(results: Vec<Finished>, max: usize) -> Vec<Vec<Finished>> {
    if results.len() < 2 {
        return if results.is_empty() { Vec::new() } else { vec![results] };
    }
    let (mut calls, mut size) = (Vec::<Vec<Finished>>::new(), 0);
    for result in results {
        let bytes = json_bytes(&result);
        match calls.last_mut() {
            Some(call) if size + bytes <= max => {
                size += bytes;
                call.push(result);
            }
            _ => {
                size = bytes;
                calls.push(vec![result]);
            }
        }
    }
    calls
}

/// The failure in place of a result that the database does not take.
fn refused(error: &Error) -> StepOutcome {
    let text = format!("the database refused the step's result: {error}");
    StepOutcome::Failure(StepError::permanent(text).code(error.sqlstate().unwrap_or_default()).into())
}

#[cfg(test)]
mod tests;
