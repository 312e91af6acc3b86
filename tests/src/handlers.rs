//! Handlers that several tests use.

use pgtasker_worker::{Batchable, Cursor, StepContext, StepError, StepOutcome};

/// Counts one item of its cursor and saves how far it is, in one transaction.
pub async fn count(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let cursor: Cursor = ctx.cursor()?;
    let item = ctx.last_checkpoint::<u64, u64>()?.map_or(cursor.start, |last| last.cursor);
    let mut transaction = ctx.begin().await?;
    sqlx::query("insert into counted values ($1, $2)")
        .bind(ctx.task_id().to_string())
        .bind(i64::try_from(item)?)
        .execute(&mut *transaction)
        .await?;
    let done = item + 1 - cursor.start;
    let outcome = match done == cursor.len() {
        true => StepOutcome::success(done),
        false => ctx.checkpoint(item + 1, done, done)?,
    };
    transaction.complete_with(outcome).await
}
