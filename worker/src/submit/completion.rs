//! The completion side: takes what has gathered in the completion channel and submits it in one
//! call. While that call is in flight, more arrives; so batches grow with the load, and no timer is
//! needed.

use super::{Completed, Finished, Report, SHUT_DOWN, Submitter};
use crate::{
    StepError,
    claim::{StepKey, Ticket, dispatch::FollowUp},
    meters::Meters,
    run::storable::json_bytes,
};
use pgtasker_core::{ClaimStatus, Error, StepOutcome, db::Retry, failpoint};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{Instant as TokioInstant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Keeps one submit's transaction short.
const MAX_BATCH: usize = 500;
/// Bytes of JSON in one submit: PostgreSQL takes no document over 256 MB.
const MAX_BYTES: usize = 16 << 20;
/// The SQLSTATE of a document over that limit, or of another limit of the server: it will not pass.
const OVER_LIMIT: &str = "54000";
/// How long what the database answers `busy` for waits: the first time, doubled each time, and at
/// most.
const BUSY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Places of the channel: room for the results of a second round of steps while those of the first
/// are submitted.
pub(crate) fn capacity(concurrency: usize) -> usize {
    concurrency.max(64)
}

/// Submits results and releases, one call at a time.
pub(crate) struct CompletionActor<S> {
    submitter: S,
    reports: mpsc::Receiver<Completed>,
    /// None: what follows is left to the queue.
    follow_up: Option<FollowUp>,
    meters: Arc<Meters>,
    retry: Retry,
    /// What the database answered `busy` for, and when it is told again; the leases are extended
    /// meanwhile.
    put_off: Vec<(TokioInstant, Completed)>,
}

impl<S: Submitter> CompletionActor<S> {
    pub(crate) fn new(
        submitter: S,
        reports: mpsc::Receiver<Completed>,
        follow_up: Option<FollowUp>,
        meters: Arc<Meters>,
    ) -> Self {
        let retry = Retry::new(Duration::from_millis(50), Duration::from_secs(5));
        Self { submitter, reports, follow_up, meters, retry, put_off: Vec::new() }
    }

    /// Runs until every sender is gone, or after `finish` until the channel is empty.
    pub(crate) async fn run(mut self, finish: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let (due, open) = (self.due(), !self.reports.is_closed() || !self.reports.is_empty());
            tokio::select! {
                biased;
                n = self.reports.recv_many(&mut batch, MAX_BATCH), if open => {
                    if n == 0 && due.is_none() {
                        return;
                    }
                }
                () = finish.cancelled(), if !self.reports.is_closed() => {
                    self.reports.close();
                    continue;
                }
                () = until(due), if due.is_some() => {}
                else => return,
            }
            self.take_due(&mut batch);
            if batch.is_empty() {
                continue;
            }
            // Handlers that are ready to end do so first: else a batch of one would precede every
            // large one.
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

    /// When something that was put off is due.
    fn due(&self) -> Option<TokioInstant> {
        self.put_off.iter().map(|(at, _)| *at).min()
    }

    fn take_due(&mut self, batch: &mut Vec<Completed>) {
        let now = TokioInstant::now();
        batch.extend(
            self.put_off.extract_if(.., |(at, _)| *at <= now).map(|(_, completed)| completed),
        );
    }

    /// Somebody holds the step: the others go on, and this one is told again, later each time.
    fn put_off(&mut self, mut ticket: Ticket, report: Report) {
        let delay = BUSY.0.saturating_mul(1 << ticket.busy.min(16)).min(BUSY.1);
        ticket.busy += 1;
        self.put_off.push((TokioInstant::now() + delay, Completed { ticket, report }));
    }

    async fn deliver(&mut self, batch: &mut Vec<Completed>) {
        let mut results = Vec::with_capacity(batch.len());
        let mut releases: HashMap<(Duration, String, bool), Vec<Ticket>> = HashMap::new();
        for Completed { ticket, report } in batch.drain(..) {
            match report {
                Report::Result(result) => results.push(Finished { ticket, result }),
                Report::Release { delay, reason, lost } => {
                    releases.entry((delay, reason, lost)).or_default().push(ticket)
                }
            }
        }
        for results in by_size(results, MAX_BYTES) {
            self.submit(results).await;
        }
        for ((delay, reason, lost), tickets) in releases {
            self.release(tickets, delay, &reason, lost).await;
        }
    }

    /// Returns when the database has answered for every result.
    async fn submit(&mut self, results: Vec<Finished>) {
        let mut again = false;
        loop {
            match self.try_submit(&results, again).await {
                Ok(busy) => return self.put_off_busy(results, &busy),
                Err(error) if passes(&error) => self.pause("submit results", &error).await,
                Err(error) => {
                    tracing::warn!(%error, results = results.len(), "a batch of results was \
                        refused: submitting one by one");
                    break;
                }
            }
            again = true;
        }
        for result in results {
            self.submit_one(result).await;
        }
    }

    /// A result that cannot be stored goes without its events, which become dead letters; if that
    /// is not why, it becomes a permanent failure that says so. When not even that can be stored,
    /// the result is not to blame: it is kept and tried again.
    async fn submit_one(&mut self, mut finished: Finished) {
        let (mut again, mut is_stripped) = (false, false);
        loop {
            let error = match self.try_submit(std::slice::from_ref(&finished), again).await {
                Ok(busy) => return self.put_off_busy(vec![finished], &busy),
                Err(error) => error,
            };
            again = true;
            let result = &mut finished.result;
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
            match self.try_submit(std::slice::from_ref(&finished), again).await {
                Ok(busy) if !busy.is_empty() => return self.put_off_busy(vec![finished], &busy),
                Ok(_) => {
                    let StepKey { task_id, step } = &finished.ticket.key;
                    let correlation_id = finished.ticket.correlation();
                    tracing::warn!(%task_id, correlation_id, %step, %error, "the database refused \
                        this result: the step fails");
                    return;
                }
                Err(_) => {
                    (finished.result.outcome, finished.result.events) = (kept, events);
                }
            }
            self.pause("submit a result", &error).await;
        }
    }

    fn put_off_busy(&mut self, results: Vec<Finished>, busy: &HashSet<(StepKey, i32)>) {
        if busy.is_empty() {
            return;
        }
        for Finished { ticket, result } in results {
            if busy.contains(&(ticket.key.clone(), ticket.claim_no)) {
                self.put_off(ticket, Report::Result(result));
            }
        }
    }

    /// The claims whose steps somebody holds: their results are not stored. `again`: an earlier
    /// call with these results may have been committed, its answer not heard.
    async fn try_submit(
        &mut self,
        results: &[Finished],
        again: bool,
    ) -> pgtasker_core::Result<HashSet<(StepKey, i32)>> {
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
        let announces = results.iter().any(|finished| !finished.result.events.is_empty());
        let mut busy = HashSet::new();
        for answer in submitted.answers {
            self.meters.result(&answer.status);
            let (task_id, step, status) = (answer.task_id, answer.step, answer.status);
            let of = |key: &StepKey| key.task_id == task_id && *key.step == *step;
            if status == ClaimStatus::Busy {
                busy.insert((StepKey { task_id, step: step.into() }, answer.claim_no));
                continue;
            }
            if status != ClaimStatus::Accepted {
                let ticket =
                    results.iter().map(|finished| &finished.ticket).find(|ticket| of(&ticket.key));
                let correlation_id = ticket.and_then(Ticket::correlation);
                tracing::info!(%task_id, correlation_id, %step, %status, "a result did not count");
            }
            let is_stored =
                status == ClaimStatus::Accepted || again && status == ClaimStatus::Duplicate;
            if announces && is_stored {
                // Where a lease ran out, two claims of the step may be among them: only the later
                // can count.
                let claims = results.iter().filter(|finished| of(&finished.ticket.key));
                if let Some(last) = claims.max_by_key(|finished| finished.ticket.claim_no) {
                    self.submitter.announce(&last.result.events);
                }
            }
        }
        self.retry.over();
        if !left.is_empty() {
            self.release(left, Duration::ZERO, SHUT_DOWN, false).await;
        }
        Ok(busy)
    }

    async fn release(&mut self, tickets: Vec<Ticket>, delay: Duration, reason: &str, lost: bool) {
        let claims: Vec<_> = tickets.iter().map(|ticket| (&ticket.key, ticket.claim_no)).collect();
        loop {
            failpoint::reach("worker.before_release");
            match self.submitter.release(&claims, delay, reason, lost).await {
                Ok(statuses) => {
                    failpoint::reach("worker.after_release");
                    self.retry.over();
                    for (ticket, status) in tickets.into_iter().zip(statuses) {
                        match status {
                            ClaimStatus::Busy => self.put_off(
                                ticket,
                                Report::Release { delay, reason: reason.to_owned(), lost },
                            ),
                            _ => self.meters.released.increment(1),
                        }
                    }
                    return;
                }
                Err(error) if error.is_transient() => self.pause("release steps", &error).await,
                Err(error) => {
                    tracing::error!(%error, steps = claims.len(), "cannot release steps: they \
                        wait for their leases to run out");
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

async fn until(due: Option<TokioInstant>) {
    if let Some(due) = due {
        sleep_until(due).await;
    }
}

/// Whether the same call may be taken later.
fn passes(error: &Error) -> bool {
    error.is_transient() && error.sqlstate().as_deref() != Some(OVER_LIMIT)
}

/// The results in their order, in calls of at most `max` bytes; one that is larger goes alone.
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
    StepOutcome::Failure(
        StepError::permanent(text).code(error.sqlstate().unwrap_or_default()).into(),
    )
}

#[cfg(test)]
mod tests;
