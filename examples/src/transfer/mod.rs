//! Moves money between accounts, each booking in the transaction that completes its step: booked
//! exactly once, whatever crashes, with no table of what was done already.

use crate::{Result, runner::apply};
use pgtasker_worker::{StepContext, StepError, StepOutcome, WorkerBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;

/// The template file.
pub const TEMPLATE: &str = include_str!("../../templates/transfer.yaml");
/// The template's, and so its queue's.
pub const NAMESPACE: &str = "bank";

/// Adds the namespace and the handlers of this example.
pub fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .namespace(NAMESPACE)
        .handler("transfer_withdraw", withdraw)
        .handler("transfer_deposit", deposit)
}

/// Creates the tables, opens accounts 1 to `accounts` with `balance` cents each, and applies the
/// template; does nothing where they are there. The database must have been migrated.
///
/// # Errors
/// A right is missing, or another template has this name and version.
pub async fn install(pool: &PgPool, accounts: i64, balance: i64) -> Result<()> {
    sqlx::raw_sql(include_str!("schema.sql")).execute(pool).await?;
    sqlx::query(include_str!("open.sql")).bind(accounts).bind(balance).execute(pool).await?;
    apply(pool, "transfer.yaml", TEMPLATE).await?;
    Ok(())
}

/// What is in all accounts together. The same as at the start once every transfer has ended;
/// before, what was withdrawn and is not yet deposited is missing.
///
/// # Errors
/// Those of the database.
pub async fn total(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select coalesce(sum(balance), 0)::bigint from bank.accounts")
        .fetch_one(pool)
        .await?)
}

/// How many bookings were made that had been made before. Must be 0.
///
/// # Errors
/// Those of the database.
pub async fn doubled(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar(include_str!("doubled.sql")).fetch_one(pool).await?)
}

/// `n` transfers between `accounts` accounts, the same for the same `seed`; some are of more than
/// there is.
pub fn contexts(accounts: i64, n: usize, seed: u64) -> Vec<Value> {
    let mut state = seed;
    let mut next = |below: i64| {
        // Knuth's linear congruential generator: enough to mix accounts.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap_or_default() % below
    };
    let transfer =
        |_| json!({"from": 1 + next(accounts), "to": 1 + next(accounts), "amount": 1 + next(100)});
    (0..n).map(transfer).collect()
}

/// The context of a task.
#[derive(Deserialize)]
struct Transfer {
    from: i64,
    to: i64,
    amount: i64,
}

/// Takes the money out of the first account; fails for good where there is too little.
///
/// # Errors
/// `cannot_book`; those of the database.
pub async fn withdraw(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Transfer { from, amount, .. } = ctx.context()?;
    book(ctx, from, -amount).await
}

/// Puts it into the second.
///
/// # Errors
/// As [`withdraw`].
pub async fn deposit(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Transfer { to, amount, .. } = ctx.context()?;
    book(ctx, to, amount).await
}

async fn book(ctx: StepContext, account: i64, amount: i64) -> Result<StepOutcome, StepError> {
    let mut tx = ctx.begin().await?;
    let balance: Option<i64> = sqlx::query_scalar(include_str!("book.sql"))
        .bind(account)
        .bind(amount)
        .bind(ctx.task_id())
        .fetch_optional(&mut *tx)
        .await?;
    match balance {
        Some(balance) => tx.complete(json!({"account": account, "balance": balance})).await,
        None => {
            let text = format!("account {account} is not there, or has less than {}", -amount);
            Err(StepError::permanent(text).code("cannot_book"))
        }
    }
}
