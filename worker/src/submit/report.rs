//! What is told to the database of a claimed step: its result, or that it goes back.

use crate::{
    claim::{StepKey, Ticket},
    events::StepEvent,
};
use pgtasker_core::StepOutcome;
use serde::{Serialize, Serializer};
use std::time::Duration;
use uuid::Uuid;

/// The first wait; it doubles with each loss in a row.
const FIRST: Duration = Duration::from_millis(250);
/// As long as a claim may wait in its queue.
const LONGEST: Duration = Duration::from_secs(60);
/// The reason of a release, for the audit.
pub(crate) const SHUT_DOWN: &str = "the worker was shut down";

/// What is to be told to the database about one held step. The ticket keeps the lease extended
/// until it is.
pub(crate) struct Completed {
    pub(crate) ticket: Ticket,
    pub(crate) report: Report,
}

/// See [`Completed`].
pub(crate) enum Report {
    /// The handler ended.
    Result(StepResult),
    /// The step was not run, or not to its end: it goes back to its queue, attempt not counted.
    /// `lost`: an outage took it, which the database counts.
    Release { delay: Duration, reason: String, lost: bool },
}

impl Report {
    /// A step that this worker does not run.
    pub(crate) fn give_back(delay: Duration, reason: impl Into<String>) -> Self {
        Self::Release { delay, reason: reason.into(), lost: false }
    }

    /// A claim that was lost, after `losses` before it.
    pub(crate) fn lost(reason: String, losses: i32) -> Self {
        let doubled = FIRST.saturating_mul(1 << losses.clamp(0, 16));
        Self::Release { delay: doubled.min(LONGEST), reason, lost: true }
    }
}

/// What came of a step, as it is submitted.
pub(crate) struct StepResult {
    pub(crate) outcome: StepOutcome,
    pub(crate) events: Vec<StepEvent>,
    pub(crate) duration_ms: u64,
}

impl StepResult {
    pub(crate) fn new(outcome: StepOutcome, events: Vec<StepEvent>, took: Duration) -> Self {
        let duration_ms = took.as_millis().try_into().unwrap_or(u64::MAX);
        Self { outcome, events, duration_ms }
    }
}

/// A result on its way.
pub(crate) struct Finished {
    pub(crate) ticket: Ticket,
    pub(crate) result: StepResult,
}

impl Serialize for Finished {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { ticket: Ticket { key, claim_no, .. }, result } = self;
        SubmitElement { key, claim_no: *claim_no, result }.serialize(serializer)
    }
}

/// One element of `submit_results`: the result of this claim.
pub(crate) struct SubmitElement<'a> {
    pub(crate) key: &'a StepKey,
    pub(crate) claim_no: i32,
    pub(crate) result: &'a StepResult,
}

impl Serialize for SubmitElement<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Element<'a> {
            task_id: Uuid,
            step: &'a str,
            claim_no: i32,
            outcome: &'a StepOutcome,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            events: &'a [StepEvent],
            duration_ms: u64,
        }
        let StepResult { outcome, events, duration_ms } = self.result;
        Element {
            task_id: self.key.task_id,
            step: &self.key.step,
            claim_no: self.claim_no,
            outcome,
            events,
            duration_ms: *duration_ms,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_waits_longer_up_to_a_minute() {
        let delay = |losses| match Report::lost(String::new(), losses) {
            Report::Release { delay, lost: true, .. } => delay,
            _ => panic!("no loss"),
        };
        assert_eq!((delay(0), delay(1), delay(4)), (FIRST, FIRST * 2, FIRST * 16));
        assert_eq!((delay(19), delay(i32::MAX)), (LONGEST, LONGEST));
    }
}
