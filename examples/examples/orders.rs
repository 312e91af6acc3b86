//! `DATABASE_URL=… cargo run -p pgtasker-examples --example orders`

use pgtasker_client::calls;
use pgtasker_examples::{
    Engine, Result, database_url,
    orders::{self, Books, Expected, Live, Order},
};
use pgtasker_worker::{CancellationToken, DbOptions, DomainEvent, connect};
use sqlx::PgPool;
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let url = database_url()?;
    let pool = connect(&DbOptions::new(&url, "orders example")).await?;
    pgtasker_queues::migrate(&pool).await?;
    orders::install(&pool).await?;
    let run = Uuid::now_v7();
    let follow = |worker: &_| Live::follow(worker, run, tell);
    let (mut engine, live) = Engine::start_with(&url, orders::register, follow).await?;
    let (some, more) = (orders::orders(1..=12), orders::orders(13..=15));

    println!("Fast and broadcast events, as they happen in the worker's process:");
    let complete = engine.run(consumed_in_rust(&pool, run, &some)).await?;
    let (also, events) = engine.run(consumed_in_sql(&pool, run, &more)).await?;
    engine.stop().await?;
    let figures = live.ended().await;
    let (books, refused) = (Books::read(&pool, run).await?, orders::refused(&pool, run).await?);

    let placed = [some, more].concat();
    let expected = Expected::of(&placed);
    println!(
        "\nLive figures, made of them: reserved {}; paid {}; {} cards refused",
        list(&figures.reserved),
        money(&figures.paid),
        figures.refused
    );
    println!(
        "\nTables, made of durable and broadcast events; the last {events} were consumed in SQL:"
    );
    println!("  payments  {}", money(&books.paid));
    for (order, subject) in &books.mails {
        println!("  mail      order {order:>2}  {subject}");
    }
    println!(
        "\nKept back by the publisher, as nothing was to be paid: the payments of the orders {:?}",
        expected.gifts
    );
    println!(
        "\nEvents that broke their schema; their steps have succeeded (`tasker dead-letter list` \
         shows \
         them):"
    );
    for letter in &refused {
        println!("  order {:>2}  {}: {}", letter.order_id, letter.name, letter.detail);
    }
    assert_eq!(complete + also, expected.complete, "only orders that are not paid do not complete");
    assert_eq!(
        (figures, books),
        (expected.figures, expected.books),
        "the events and plain Rust disagree"
    );
    assert_eq!(refused.iter().map(|letter| letter.order_id).collect::<Vec<_>>(), expected.refused);
    println!("\nAll of it is as computed from the orders in plain Rust.");
    Ok(())
}

/// While a consumer runs beside the engine. Returns how many tasks have completed.
async fn consumed_in_rust(pool: &PgPool, run: Uuid, orders: &[Order]) -> Result<usize> {
    let shutdown = CancellationToken::new();
    let consumer = orders::consumer(pool.clone())?.run(shutdown.clone());
    let work = async {
        let complete = settle(pool, run, orders).await?;
        orders::until_consumed(pool, run, PATIENCE).await?;
        Ok(complete)
    };
    let work = async {
        // Ends the consumer also where the work has failed.
        let _stop = shutdown.drop_guard();
        work.await
    };
    let (consumed, complete) = tokio::join!(consumer, work);
    consumed?;
    complete
}

/// Without a consumer: the events wait until somebody calls pgmq. Returns how many tasks have
/// completed, and how many events there were.
async fn consumed_in_sql(pool: &PgPool, run: Uuid, orders: &[Order]) -> Result<(usize, u64)> {
    let complete = settle(pool, run, orders).await?;
    Ok((complete, orders::consume_in_sql(pool).await?))
}

async fn settle(pool: &PgPool, run: Uuid, orders: &[Order]) -> Result<usize> {
    let mut complete = 0;
    for task in orders::place(pool, run, orders).await? {
        complete += usize::from(calls::wait(pool, task, PATIENCE).await?.succeeded());
    }
    Ok(complete)
}

/// One line for each event.
fn tell(event: &DomainEvent) {
    let DomainEvent { name, payload, metadata, .. } = event;
    let text = |key: &str| payload[key].as_str().unwrap_or_default();
    let (order, what) = match name.as_str() {
        "stock.reserved" => {
            (&payload["order_id"], format!("{} × {}", payload["quantity"], text("item")))
        }
        "payment.processed" => {
            let amount = cents(text("currency"), payload["amount"].as_i64().unwrap_or_default());
            (&payload["order_id"], format!("{amount} by the card {}", text("card")))
        }
        _ => (&metadata["order_id"], text("message").to_owned()),
    };
    println!("  {name:<18} order {:>2}  {what}", order.as_i64().unwrap_or_default());
}

fn list(counts: &BTreeMap<String, i64>) -> String {
    counts.iter().map(|(what, n)| format!("{n} × {what}")).collect::<Vec<_>>().join(", ")
}

fn money(sums: &BTreeMap<String, i64>) -> String {
    sums.iter().map(|(currency, sum)| cents(currency, *sum)).collect::<Vec<_>>().join(", ")
}

fn cents(currency: &str, amount: i64) -> String {
    format!("{currency} {}.{:02}", amount / 100, amount % 100)
}
