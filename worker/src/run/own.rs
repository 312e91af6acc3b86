//! What a step's execution and its own transaction tell each other.

use crate::{Publication, StepError};
use pgtasker_core::{Failure, StepOutcome};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// What a step's execution and its own transaction tell each other.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// One at a time: two of one handler could wait for each other.
    open: AtomicBool,
    /// One has been begun, or was to be.
    begun: AtomicBool,
    /// The database has the result, or does not want it any more: nothing is left to be submitted.
    submitted: AtomicBool,
    /// Its transaction was about to commit: what became of that, the database knows.
    committing: AtomicBool,
    /// Events that the handler has published, to go with its result.
    published: Mutex<Vec<Publication>>,
    /// An outcome that the database rejected, and the failure that the handler was told instead.
    rejected: Mutex<Option<(StepOutcome, Failure)>>,
}

impl Own {
    /// Begins the step's transaction. None: one is open already.
    pub(crate) fn open(self: &Arc<Self>) -> Option<Open> {
        if self.open.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.begun.store(true, Ordering::Release);
        Some(Open(Arc::clone(self)))
    }

    /// A transaction of the handler's own driver is about to end the step.
    pub(crate) fn set_begun(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Keeps an outcome that the database rejected, with the failure that the handler is told.
    pub(crate) fn refuse(&self, outcome: StepOutcome, told: &StepError) {
        let rejected = (outcome, told.clone().into());
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejected);
    }

    /// What is to be submitted for this outcome of a handler: where it says no more than that the
    /// database rejected another, that one. Submitted again, without the writes, it fails the step
    /// with what is wrong. And where its own transaction was to end the step, only a failure.
    pub(crate) fn refused(&self, outcome: StepOutcome) -> StepOutcome {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (rejected, outcome) {
            (Some((rejected, told)), StepOutcome::Failure(failure)) if failure == told => rejected,
            (_, outcome @ StepOutcome::Failure(_)) => outcome,
            _ if self.committing.load(Ordering::Acquire) => {
                let text = "the step's own transaction did not commit, and the handler went on";
                StepOutcome::Failure(StepError::retryable(text).code("not_committed").into())
            }
            (_, outcome) => outcome,
        }
    }

    /// Adds an event of the handler's own.
    pub(crate) fn publish(&self, publication: Publication) {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).push(publication);
    }

    /// Those there are so far.
    pub(crate) fn published(&self) -> Vec<Publication> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a loss of this database's connection has taken what the handler did.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Its transaction is about to commit.
    pub(crate) fn set_committing(&self) {
        self.committing.store(true, Ordering::Release);
    }

    /// The database has the result, or does not want it any more.
    pub(crate) fn set_submitted(&self) {
        self.submitted.store(true, Ordering::Release);
    }

    pub(crate) fn is_submitted(&self) -> bool {
        self.submitted.load(Ordering::Acquire)
    }
}

/// Lets the next transaction of the step begin.
pub(crate) struct Open(Arc<Own>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
    }
}
