//! Orders that say what happens to them, in all three ways: `stock.reserved` fast, for figures that
//! are live in this process; `order.shipped` durable, for mails of which none may be missing;
//! `payment.processed` and `payment.failed` broadcast, for both. None of those who listen is known
//! to the steps.

mod books;
mod expected;
mod handlers;
mod live;
mod order;

pub use books::{Books, Refused, consume_in_sql, consumer, refused, until_consumed};
pub use expected::Expected;
pub use handlers::{charge, publish_payment, register, reserve, ship};
pub use live::{Figures, Live};
pub use order::{Line, Order, orders};

use crate::{Result, runner::apply};
use pgtasker_client::{NewTask, calls};
use sqlx::PgPool;
use uuid::Uuid;

/// The template file.
pub const TEMPLATE: &str = include_str!("../../templates/orders.yaml");
/// The template's, and so its queues'.
pub const NAMESPACE: &str = "orders";

/// Creates the tables and applies the template; does nothing where they are there. The database
/// must have been migrated.
///
/// # Errors
/// A right is missing, or another template has this name and version.
pub async fn install(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql(include_str!("schema.sql")).execute(pool).await?;
    apply(pool, "orders.yaml", TEMPLATE).await?;
    Ok(())
}

/// Enqueues a task for each order. `run` becomes their correlation id, which every event of theirs
/// carries.
///
/// # Errors
/// `TK001` or `TK002` where [`install`] has not been called.
pub async fn place(pool: &PgPool, run: Uuid, orders: &[Order]) -> Result<Vec<Uuid>> {
    let mut tasks = Vec::new();
    for order in orders {
        let mut task = NewTask::new(NAMESPACE, "order").context(order.context());
        task.correlation_id = Some(run);
        tasks.push(calls::enqueue_task(pool, &task).await?);
    }
    Ok(tasks)
}
