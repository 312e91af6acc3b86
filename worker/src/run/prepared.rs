//! The end of a step as a statement: for a transaction of the worker's pool, and for one of the
//! handler's own driver.

use super::storable;
use crate::{
    StepContext, StepError,
    claim::{StepKey, leases::is_ours},
    events::outgoing,
    shared::Shared,
    submit::{StepResult, SubmitElement},
};
use pgtasker_core::{ClaimStatus, StepOutcome};
use std::{sync::Arc, time::Duration};

/// How long the end of a handler's own transaction waits for its step where somebody else holds
/// that.
pub(crate) const OWN_WAIT: Duration = Duration::from_secs(2);
/// And what is said when it was held for longer.
pub(crate) const BUSY: &str =
    "another transaction holds the step: its writes were rolled back, and it runs again";

/// Why a step whose code ended its own step or task fails. The rest of a sentence that begins with
/// who did it.
pub(crate) const OWN_STEP: &str = "ended its own step or task (it cancelled, resolved, or \
    submitted it, for instance); that \
     and all it wrote were rolled back: return the outcome instead, or let another step or a \
     client do it";

/// How a step ends in a transaction that is not the worker's; made by [`StepContext::prepare`].
///
/// Execute [`Prepared::STATEMENT`] with [`Prepared::parameters`] as the transaction's last
/// statement; it returns one row, whose first column is the status. If that is `accepted`, call
/// [`Prepared::commits`], commit, and call [`Prepared::committed`]; else roll back and return
/// [`Prepared::refused`]. Where the commit fails, return its error: the database knows whether it
/// took place.
#[must_use = "nothing is submitted by itself"]
pub struct Prepared {
    ctx: StepContext,
    worker: Arc<Shared>,
    key: StepKey,
    result: StepResult,
}

impl StepContext {
    /// Prepares the end of this step, after `took` of work, in a transaction of the handler's own
    /// driver, on this database. For one of the worker's pool: [`StepContext::begin`].
    ///
    /// # Errors
    /// A permanent one, when the outcome cannot be stored (`invalid_result`).
    pub async fn prepare(
        &self,
        outcome: StepOutcome,
        took: Duration,
    ) -> Result<Prepared, StepError> {
        let Some(worker) = self.worker.clone() else {
            return Err(StepError::permanent("only a step that a worker runs has a transaction"));
        };
        self.own.set_begun();
        let outcome = storable::checked(outcome)?;
        let events = outgoing(self, &worker.publishers, &outcome, &self.cancelled).await;
        let key = StepKey { task_id: self.claim.task_id, step: Arc::clone(&self.claim.step) };
        let result = StepResult::new(outcome, events, took);
        Ok(Prepared { ctx: self.clone(), worker, key, result })
    }
}

impl Prepared {
    /// Submits the result. From there on the step's row is locked: should the process be frozen or
    /// gone, not for longer than its lease, which the third parameter says in milliseconds.
    pub const STATEMENT: &str = "\
        select status, set_config('idle_in_transaction_session_timeout', $3, true) \
        from tasker.submit_results($1::text::uuid, $2::text::jsonb, $4::text::interval)";

    /// The statement's parameters, all of them text: the worker's id, the result as JSON,
    /// milliseconds, and an interval.
    pub fn parameters(&self) -> [String; 4] {
        let Self { ctx, key, result, .. } = self;
        let element = SubmitElement { key, claim_no: ctx.claim.claim_no, result };
        // Everything here has a form in JSON.
        let results = serde_json::to_string(&[element]).unwrap_or_default();
        let lease = ctx.claim.timeout.min(self.worker.settings.lease).as_millis().max(1);
        let wait = format!("{} ms", OWN_WAIT.as_millis());
        [self.worker.worker_id.to_string(), results, lease.to_string(), wait]
    }

    /// The transaction is about to commit: from now on only its commit, or a failure, ends the
    /// step. Another result would count without what the transaction wrote.
    pub fn commits(&self) {
        self.ctx.own.set_committing();
    }

    /// The commit took place: the worker submits nothing more. Returns the outcome.
    pub fn committed(self) -> StepOutcome {
        self.ctx.own.set_submitted();
        self.worker.meters.result(&ClaimStatus::Accepted);
        self.worker.announce(&self.result.events);
        self.result.outcome
    }

    /// What the handler returns where the status is not `accepted`, once it has rolled back.
    pub async fn refused(self, status: &ClaimStatus) -> StepError {
        match status {
            // Only the database knows why. Counted by the runner's submit, see [`Own::refused`].
            ClaimStatus::Rejected => {
                let text =
                    "the database does not take this outcome; the step's writes were rolled back";
                let error = StepError::permanent(text).code("rejected");
                self.ctx.own.refuse(self.result.outcome, &error);
                error
            }
            // Somebody else holds the step: it is run again, later.
            ClaimStatus::Busy => StepError::retryable(BUSY).code("busy").outage(true),
            _ if is_ours(&self.worker, &self.key, self.ctx.claim_no()).await => {
                StepError::permanent(format!("the handler {OWN_STEP}")).code("own_step")
            }
            status => {
                self.ctx.own.set_submitted();
                self.worker.meters.result(status);
                let text = format!(
                    "{status}: the step is no longer this worker's; its writes were rolled back"
                );
                let correlation_id = self.ctx.correlation_id().map(tracing::field::display);
                tracing::info!(
                    task_id = %self.ctx.task_id(),
                    correlation_id,
                    step = %self.ctx.step(),
                    "{text}"
                );
                StepError::retryable(text).code(status.as_str())
            }
        }
    }
}

impl std::fmt::Debug for Prepared {
    /// Names the step; never shows its data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("ctx", &self.ctx).finish_non_exhaustive()
    }
}
