//! What is made of durable events: payments are booked and customers get mails, by a consumer in
//! Rust or by plain SQL.

use super::NAMESPACE;
use crate::{Error, Result};
use pgtasker_worker::{DomainEvent, EventConsumer, StepError};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgPool};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(20);

/// What the tables have of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Cents in each currency.
    pub paid: BTreeMap<String, i64>,
    /// Order and subject, in order.
    pub mails: Vec<(i64, String)>,
}

impl Books {
    /// Reads the tables.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read(pool: &PgPool, run: Uuid) -> Result<Self> {
        let paid: Vec<(String, i64)> =
            sqlx::query_as("select currency, amount from shop.payments where correlation_id = $1")
                .bind(run)
                .fetch_all(pool)
                .await?;
        let mails = "select order_id, subject from shop.mails where correlation_id = $1 order by \
            order_id, subject";
        let mut books = Self {
            mails: sqlx::query_as(mails).bind(run).fetch_all(pool).await?,
            ..Self::default()
        };
        for (currency, amount) in paid {
            add(&mut books.paid, &currency, amount);
        }
        Ok(books)
    }
}

/// An event that was not published, and why.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Refused {
    /// The order.
    pub order_id: i64,
    /// The event's name.
    pub name: String,
    /// What was wrong with it.
    pub detail: String,
}

/// The dead letters of a run's events, by order.
///
/// # Errors
/// Those of the database.
pub async fn refused(pool: &PgPool, run: Uuid) -> Result<Vec<Refused>> {
    Ok(sqlx::query_as(include_str!("refused.sql")).bind(run).fetch_all(pool).await?)
}

/// A consumer of the namespace's durable events that writes to the same tables as
/// [`consume_in_sql`].
///
/// # Errors
/// None: what it is built of is good.
pub fn consumer(pool: PgPool) -> Result<EventConsumer> {
    let tables = pool.clone();
    let handler = move |event: DomainEvent| {
        let tables = tables.clone();
        async move { keep(&tables, &event).await }
    };
    Ok(EventConsumer::builder(pool).namespace(NAMESPACE).handler(handler).build()?)
}

/// The effect of one event. It may be called twice with the same one: the second time nothing is
/// left to do.
async fn keep(tables: &PgPool, event: &DomainEvent) -> Result<(), StepError> {
    let DomainEvent { id, correlation_id, payload, metadata, .. } = event;
    let (order, subject) = match event.name.as_str() {
        "payment.processed" => {
            sqlx::query(include_str!("keep_payment.sql"))
                .bind(id)
                .bind(correlation_id)
                .bind(payload)
                .execute(tables)
                .await?;
            return Ok(());
        }
        "order.shipped" => {
            (&payload["order_id"], format!("On its way, parcels: {}", payload["parcels"]))
        }
        "payment.failed" => {
            (&metadata["order_id"], format!("Not paid: {}", text(&payload["message"])))
        }
        // Not for us.
        _ => return Ok(()),
    };
    sqlx::query(include_str!("keep_mail.sql"))
        .bind(id)
        .bind(correlation_id)
        .bind(
            order
                .as_i64()
                .ok_or_else(|| StepError::permanent("it does not say of which order it is"))?,
        )
        .bind(subject)
        .execute(tables)
        .await?;
    Ok(())
}

/// Consumes whatever is there by plain pgmq calls, as one would from psql; returns how many events
/// it was.
///
/// # Errors
/// Those of the database.
pub async fn consume_in_sql(pool: &PgPool) -> Result<u64> {
    let mut events = 0;
    loop {
        match sqlx::query(include_str!("consume.sql")).execute(pool).await?.rows_affected() {
            0 => return Ok(events),
            read => events += read,
        }
    }
}

/// Waits until no event of the run is in the queue any more.
///
/// # Errors
/// [`Error::Unconsumed`]; those of the database.
pub async fn until_consumed(pool: &PgPool, run: Uuid, timeout: Duration) -> Result<()> {
    let started = Instant::now();
    loop {
        let waiting: i64 =
            sqlx::query_scalar(include_str!("waiting.sql")).bind(run).fetch_one(pool).await?;
        if waiting == 0 {
            return Ok(());
        }
        if started.elapsed() >= timeout {
            return Err(Error::Unconsumed { waiting, seconds: timeout.as_secs() });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Counts `n` more of `what`.
pub(super) fn add(to: &mut BTreeMap<String, i64>, what: &str, n: i64) {
    *to.entry(what.to_owned()).or_default() += n;
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
