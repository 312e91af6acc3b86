//! The worker's metrics, looked up once at start: the hot path only adds and sets.

use crate::{events::Delivery, run::Ran};
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use pgtasker_core::{ClaimStatus, StepOutcome, meters::build_info};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Handles of all metrics that are not per handler.
pub(crate) struct Meters {
    pub(crate) claims: Counter,
    pub(crate) claimed_steps: Counter,
    pub(crate) released: Counter,
    /// Claims that were claimed again, as their lease had run out.
    pub(crate) expired: Counter,
    pub(crate) claim_seconds: Histogram,
    pub(crate) handover_seconds: Histogram,
    pub(crate) submit_seconds: Histogram,
    pub(crate) submit_size: Histogram,
    pub(crate) dispatch_depth: Share,
    pub(crate) completion_depth: Share,
    pub(crate) permits_in_use: Share,
    pub(crate) held: Share,
    pub(crate) overdue: Share,
    lost_stale: Counter,
    lost_cancelled: Counter,
    accepted: Counter,
    duplicate: Counter,
    stale: Counter,
    rejected: Counter,
    other: Counter,
    published: [Counter; 3],
    undeclared: Counter,
    unfit: Counter,
    /// Limits, which are of this worker for as long as it is there.
    _limits: [Share; 3],
}

impl Meters {
    /// `completions`: the places of the completion channel.
    pub(crate) fn new(concurrency: usize, completions: usize) -> Self {
        describe();
        let limit = |name, value| {
            let share = Share::new(name);
            share.set(value);
            share
        };
        let results = |status: &'static str| counter!("tasker_results_total", "status" => status);
        let lost = |status: &'static str| counter!("tasker_claims_lost_total", "status" => status);
        Self {
            claims: counter!("tasker_claims_total"),
            claimed_steps: counter!("tasker_claimed_steps_total"),
            released: counter!("tasker_released_steps_total"),
            expired: counter!("tasker_lease_expiries_total"),
            claim_seconds: histogram!("tasker_claim_seconds"),
            handover_seconds: histogram!("tasker_handover_seconds"),
            submit_seconds: histogram!("tasker_submit_seconds"),
            submit_size: histogram!("tasker_submit_batch_size"),
            dispatch_depth: Share::new("tasker_worker_dispatch_depth"),
            completion_depth: Share::new("tasker_worker_completion_depth"),
            permits_in_use: Share::new("tasker_worker_permits_in_use"),
            held: Share::new("tasker_worker_steps_held"),
            overdue: Share::new("tasker_worker_permits_overdue"),
            lost_stale: lost("stale"),
            lost_cancelled: lost("cancelled"),
            accepted: results("accepted"),
            duplicate: results("duplicate"),
            stale: results("stale"),
            rejected: results("rejected"),
            other: results("other"),
            published: DELIVERIES
                .map(|delivery| counter!("tasker_events_total", "delivery" => delivery.name())),
            undeclared: counter!("tasker_events_refused_total", "reason" => "undeclared"),
            unfit: counter!("tasker_events_refused_total", "reason" => "payload"),
            _limits: [
                limit("tasker_worker_permits", concurrency),
                limit("tasker_worker_dispatch_capacity", concurrency),
                limit("tasker_worker_completion_capacity", completions),
            ],
        }
    }

    /// Counts one answer of `submit_results`.
    pub(crate) fn result(&self, status: &ClaimStatus) {
        let counter = match status {
            ClaimStatus::Accepted => &self.accepted,
            ClaimStatus::Duplicate => &self.duplicate,
            ClaimStatus::Stale => &self.stale,
            ClaimStatus::Rejected => &self.rejected,
            _ => &self.other,
        };
        counter.increment(1);
    }

    /// Counts an event of an accepted result.
    pub(crate) fn published(&self, delivery: Delivery) {
        if let Some(n) = DELIVERIES.iter().position(|known| *known == delivery) {
            self.published[n].increment(1);
        }
    }

    /// Counts one that became a dead letter.
    pub(crate) fn event_refused(&self, declared: bool) {
        let counter = if declared { &self.unfit } else { &self.undeclared };
        counter.increment(1);
    }

    /// Counts a claim that the database says is no longer this worker's, while its handler ran.
    pub(crate) fn lost(&self, status: &ClaimStatus) {
        let counter = match status {
            ClaimStatus::Cancelled => &self.lost_cancelled,
            _ => &self.lost_stale,
        };
        counter.increment(1);
    }
}

const DELIVERIES: [Delivery; 3] = [Delivery::Durable, Delivery::Fast, Delivery::Broadcast];

fn describe() {
    build_info();
    for (name, what) in [
        ("tasker_claims_total", "Calls of claim_steps"),
        (
            "tasker_claimed_steps_total",
            "Steps claimed, by calls of their own or with the result before",
        ),
        ("tasker_released_steps_total", "Steps given back: at the end, or no handler here"),
        ("tasker_lease_expiries_total", "Claims whose lease ran out before their result came"),
        ("tasker_claims_lost_total", "Claims that were lost while the handler ran"),
        ("tasker_results_total", "Answers to submitted results"),
        ("tasker_events_total", "Domain events of accepted results"),
        ("tasker_events_refused_total", "Domain events that became dead letters"),
    ] {
        describe_counter!(name, Unit::Count, what);
    }
    for (name, what) in [
        ("tasker_worker_permits", "Steps that may run at once"),
        ("tasker_worker_permits_in_use", "Permits that steps hold"),
        (
            "tasker_worker_steps_held",
            "Steps held, from the claim until the database has their result",
        ),
        (
            "tasker_worker_permits_overdue",
            "Permits of handlers that go on although their step has ended, as by a timeout",
        ),
        ("tasker_worker_dispatch_depth", "Claimed steps on their way to the handler"),
        ("tasker_worker_dispatch_capacity", "Places of that channel"),
        (
            "tasker_worker_completion_depth",
            "Results to be submitted, with the batch that is being submitted",
        ),
        ("tasker_worker_completion_capacity", "Places of that channel, without the batch"),
    ] {
        describe_gauge!(name, Unit::Count, what);
    }
    for (name, what) in [
        ("tasker_claim_seconds", "How long a call of claim_steps takes"),
        ("tasker_handover_seconds", "From the answer to the claim until the handler starts"),
        ("tasker_submit_seconds", "How long a call of complete_steps takes, until its commit"),
    ] {
        describe_histogram!(name, Unit::Seconds, what);
    }
    describe_histogram!(
        "tasker_submit_batch_size",
        Unit::Count,
        "Results in a call of complete_steps"
    );
}

/// One worker's part of a gauge: `tasker up` runs several workers in one process.
pub(crate) struct Share {
    gauge: Gauge,
    part: AtomicUsize,
}

impl Share {
    fn new(name: &'static str) -> Self {
        Self { gauge: gauge!(name), part: AtomicUsize::new(0) }
    }

    /// The part is so large now.
    pub(crate) fn set(&self, part: usize) {
        let before = self.part.swap(part, Ordering::Relaxed);
        self.gauge.increment(part as f64 - before as f64);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What is counted of one handler.
pub(crate) struct HandlerMeters {
    seconds: Histogram,
    /// By name.
    outcomes: Vec<(&'static str, Counter)>,
}

/// What a handler's call may come to beside the kinds of outcome. The last two: its own transaction
/// has completed the step, or found it lost.
const OTHERS: [&str; 7] =
    ["retryable", "permanent", "timeout", "panic", "given_back", "own_transaction", "lost"];

impl HandlerMeters {
    /// For the handler with this label.
    pub(crate) fn new(handler: &str) -> Self {
        describe_histogram!("tasker_handler_seconds", Unit::Seconds, "How long the handler runs");
        describe_counter!(
            "tasker_handler_outcomes_total",
            Unit::Count,
            "Calls of the handler by what came of them"
        );
        let outcome = |outcome: &'static str| {
            let counter = counter!(
                "tasker_handler_outcomes_total",
                "handler" => handler.to_owned(),
                "outcome" => outcome
            );
            (outcome, counter)
        };
        // Failures are counted by why.
        let kinds = StepOutcome::KINDS.into_iter().filter(|kind| *kind != "failure");
        Self {
            seconds: histogram!("tasker_handler_seconds", "handler" => handler.to_owned()),
            outcomes: kinds.chain(OTHERS).map(outcome).collect(),
        }
    }

    /// A call took this long and came to this; none: it was broken off at shutdown.
    pub(crate) fn ran(&self, took: Duration, ran: Option<&Ran>) {
        self.seconds.record(took);
        let Some(ran) = ran else { return };
        let name = outcome(ran);
        if let Some((_, counter)) = self.outcomes.iter().find(|(known, _)| *known == name) {
            counter.increment(1);
        }
    }
}

fn outcome(ran: &Ran) -> &'static str {
    match ran {
        Ran::Submitted => "own_transaction",
        Ran::GiveBack { .. } => "given_back",
        Ran::Lost(_) => "lost",
        Ran::Outcome(StepOutcome::Failure(failure)) => match failure.code.as_deref() {
            Some("timeout") => "timeout",
            Some("panic") => "panic",
            _ if failure.retryable => "retryable",
            _ => "permanent",
        },
        Ran::Outcome(outcome) => outcome.kind(),
    }
}
