//! Completion within the handler's own transaction: what the handler writes in this database and
//! the end of its step commit together or not at all.

use super::{OwnTransaction, own::Open, prepared::Prepared};
use crate::{StepContext, StepError, outage::is_outage};
use pgtasker_core::{ClaimStatus, StepOutcome, failpoint, limited};
use serde_json::Value;
use sqlx::PgConnection;
use std::{
    ops::{Deref, DerefMut},
    time::Instant,
};

/// The SQLSTATE of a failure that must not be tried again.
const PERMANENT: &str = "TKP01";
/// That of an outcome over its limit.
const TOO_LARGE: &str = "TKP02";
/// The transaction in which a step will be completed; see [`StepContext::begin`].
///
/// It is a [`PgConnection`] in READ COMMITTED: `sqlx::query(…).execute(&mut *tx)`. Dropping it
/// rolls back.
#[must_use = "dropped, it rolls back"]
pub struct StepTransaction {
    inner: OwnTransaction,
    ctx: StepContext,
    began: Instant,
    _open: Open,
}

impl StepContext {
    /// Begins the transaction in which this step will be completed, on a connection of the worker's
    /// pool, in the worker's role. Waits, as `sql` handlers do, until one of the connections for
    /// them is free.
    ///
    /// Write with `&mut *tx`, and make [`StepTransaction::complete`] the handler's last expression.
    /// Both commit together, and only if the step is still this execution's: exactly once for what
    /// is written in this transaction. What a handler does elsewhere may be done more than once, as
    /// ever.
    ///
    /// ```no_run
    /// # use pgtasker_worker::{StepContext, StepError, StepOutcome};
    /// async fn deposit(ctx: StepContext) -> Result<StepOutcome, StepError> {
    ///     let amount: i64 = ctx.parent("withdraw")?;
    ///     let mut tx = ctx.begin().await?;
    ///     sqlx::query("update accounts set balance = balance + $1 where id = 2")
    ///         .bind(amount)
    ///         .execute(&mut *tx)
    ///         .await?;
    ///     tx.complete(amount).await
    /// }
    /// ```
    ///
    /// # Errors
    /// A retryable one, when no connection is available. A permanent one, when the step's last
    /// transaction is still open.
    pub async fn begin(&self) -> Result<StepTransaction, StepError> {
        let Some(worker) = self.worker.clone() else {
            return Err(StepError::permanent("only a step that a worker runs has a transaction"));
        };
        let Some(open) = self.own.open() else {
            let text = "this step's transaction is open already: complete it or drop it first";
            return Err(StepError::permanent(text).code("transaction_open"));
        };
        let slot = worker.sql_slots.acquire().await;
        let slot = slot.ok_or_else(|| StepError::retryable("the worker is stopping"))?;
        // How long the handler pauses is its own affair, up to its timeout.
        let limits = (self.claim.timeout, self.claim.timeout);
        let inner =
            OwnTransaction::begin(&worker, &self.cancelled, slot, self.claim.task_id, limits).await;
        let inner = inner.map_err(|error| failure(&error))?;
        Ok(StepTransaction { inner, ctx: self.clone(), began: Instant::now(), _open: open })
    }
}

impl StepTransaction {
    /// Completes the step with this result and commits, as the transaction's last statement. The
    /// runner submits nothing more, whatever the handler returns then.
    ///
    /// # Errors
    /// As [`StepTransaction::complete_with`].
    pub async fn complete(self, result: impl Into<Value>) -> Result<StepOutcome, StepError> {
        self.complete_with(StepOutcome::success(result)).await
    }

    /// The same with any outcome: a decision, batches, or a checkpoint, so that a batch worker's
    /// writes and the place from which it goes on commit together. A failure keeps what was
    /// written.
    ///
    /// # Errors
    /// Everything is rolled back, and the error says why: the step has passed to another claim or
    /// is settled (`stale`, `duplicate`), the outcome is one that cannot be stored
    /// (`invalid_result`) or that the database does not take (`rejected`: too large, or not one for
    /// this step; returned, the step fails with the database's own words), or a statement failed.
    /// When the connection is lost during the commit, its fate is unknown: either it took place,
    /// and the failure that the runner submits is answered `duplicate`, after a checkpoint `stale`;
    /// or the step runs again.
    pub async fn complete_with(mut self, outcome: StepOutcome) -> Result<StepOutcome, StepError> {
        let prepared = match self.ctx.prepare(outcome, self.began.elapsed()).await {
            Ok(prepared) => prepared,
            Err(refused) => {
                self.inner.rollback().await;
                return Err(refused);
            }
        };
        failpoint::reach("worker.before_own_submit");
        let status = self.submit(&prepared).await?;
        if status != ClaimStatus::Accepted {
            self.inner.rollback().await;
            return Err(prepared.refused(&status).await);
        }
        failpoint::reach("worker.before_own_commit");
        prepared.commits();
        self.inner.commit().await.map_err(|error| failure(&error))?;
        failpoint::reach("worker.after_own_commit");
        Ok(prepared.committed())
    }

    /// Rolls back, and returns when the server has done so. Dropping does the same in the
    /// background.
    pub async fn rollback(self) {
        self.inner.rollback().await;
    }

    async fn submit(&mut self, prepared: &Prepared) -> Result<ClaimStatus, StepError> {
        let [worker_id, results, lease, wait] = prepared.parameters();
        let silence = self.inner.silence();
        let submit = sqlx::query_as(Prepared::STATEMENT)
            .bind(worker_id)
            .bind(results)
            .bind(lease)
            .bind(wait)
            .fetch_one(self.inner.connection());
        let submitted: sqlx::Result<(ClaimStatus, String)> = tokio::select! {
            biased;
            submitted = submit => submitted,
            () = silence => Err(limited::silent()),
        };
        submitted.map(|(status, _)| status).map_err(|error| failure(&error))
    }
}

impl Deref for StepTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.inner.as_connection()
    }
}

impl DerefMut for StepTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.inner.connection()
    }
}

impl std::fmt::Debug for StepTransaction {
    /// Names the step; never shows its data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepTransaction").field("ctx", &self.ctx).finish_non_exhaustive()
    }
}

/// TKP01 says "never again": a function may raise it, and `run_sql_handler` does where there is no
/// such function, and TKP02 where the outcome is too large. Everything else may pass.
pub(crate) fn failure(error: &sqlx::Error) -> StepError {
    let is_outage = is_outage(error);
    let Some(database) = error.as_database_error() else {
        return StepError::retryable(format!("database: {error}"))
            .code("connection")
            .outage(is_outage);
    };
    let message = database.message();
    match database.code().unwrap_or_default() {
        code if code == PERMANENT => StepError::permanent(message).code(code),
        code if code == TOO_LARGE => StepError::permanent(message).code("result_too_large"),
        code => StepError::retryable(message).code(code).outage(is_outage),
    }
}
