//! Orders whose steps announce what they did: durable, fast, and broadcast. What those who listen
//! make of it is what plain Rust makes of the orders.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pgtasker_client::calls;
use pgtasker_core::DomainEvent;
use pgtasker_examples::{
    Engine,
    orders::{self, Books, Expected, Figures, Live, Order, Refused},
};
use pgtasker_tests::TestDb;
use pgtasker_worker::CancellationToken;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

/// Tasks of orders that have ended, and what was heard of them in the worker's process.
struct Run {
    id: Uuid,
    tasks: Vec<Uuid>,
    complete: usize,
    figures: Figures,
    heard: Vec<DomainEvent>,
}

/// Runs the orders from an empty database on; nobody consumes.
async fn run(db: &TestDb, placed: &[Order]) -> Run {
    orders::install(&db.pool).await.unwrap();
    let (id, heard) = (Uuid::now_v7(), Arc::<Mutex<Vec<DomainEvent>>>::default());
    let ear = Arc::clone(&heard);
    let follow =
        |worker: &_| Live::follow(worker, id, move |event| ear.lock().unwrap().push(event.clone()));
    let (mut engine, live) = Engine::start_with(&db.url, orders::register, follow).await.unwrap();
    let work = async {
        let (tasks, mut complete) = (orders::place(&db.pool, id, placed).await?, 0);
        for task in &tasks {
            let status = calls::wait(&db.pool, *task, PATIENCE).await?;
            assert!(status.is_settled());
            complete += usize::from(status.succeeded());
        }
        Ok((tasks, complete))
    };
    let (tasks, complete) = engine.run(work).await.unwrap();
    engine.stop().await.unwrap();
    let figures = live.ended().await;
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    Run { id, tasks, complete, figures, heard }
}

async fn queued(pool: &PgPool) -> Vec<DomainEvent> {
    let messages: Vec<Value> =
        sqlx::query_scalar("select message from pgmq.q_orders_domain_events order by msg_id")
            .fetch_all(pool)
            .await
            .unwrap();
    messages.into_iter().map(|message| serde_json::from_value(message).unwrap()).collect()
}

/// Lets the consumer in Rust take all that is there.
async fn consume_in_rust(pool: &PgPool, run: Uuid) {
    let shutdown = CancellationToken::new();
    let consumer = orders::consumer(pool.clone()).unwrap().run(shutdown.clone());
    let work = async {
        let consumed = orders::until_consumed(pool, run, PATIENCE).await;
        shutdown.cancel();
        consumed
    };
    let (ended, consumed) = tokio::join!(consumer, work);
    ended.unwrap();
    consumed.unwrap();
}

fn names(events: &[DomainEvent], name: &str) -> usize {
    events.iter().filter(|event| event.name == name).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_listeners_make_of_the_events_is_what_plain_rust_makes_of_the_orders() {
    let db = TestDb::new().await;
    let placed = orders::orders(1..=60);
    let expected = Expected::of(&placed);
    let run = run(&db, &placed).await;
    assert_eq!((run.complete, &run.figures), (expected.complete, &expected.figures));
    assert!(expected.complete > 40 && !expected.gifts.is_empty() && expected.figures.refused == 10);

    // Fast ones are heard and not queued, durable ones queued and not heard, broadcast ones both.
    let queued = queued(&db.pool).await;
    let (lines, paid) = (
        placed.iter().map(|order| order.lines.len()).sum(),
        expected.complete - expected.gifts.len() - expected.refused.len(),
    );
    for (name, in_process, in_queue) in [
        ("stock.reserved", lines, 0),
        ("payment.processed", paid, paid),
        ("payment.failed", 10, 10),
        ("order.shipped", 0, expected.complete),
    ] {
        assert_eq!(
            (names(&run.heard, name), names(&queued, name)),
            (in_process, in_queue),
            "{name}"
        );
    }

    consume_in_rust(&db.pool, run.id).await;
    assert_eq!(Books::read(&db.pool, run.id).await.unwrap(), expected.books);
    let letters = orders::refused(&db.pool, run.id).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.order_id).collect::<Vec<_>>(), expected.refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_sql_makes_the_same_of_them() {
    let db = TestDb::new().await;
    let placed = orders::orders(1..=60);
    let (run, expected) = (run(&db, &placed).await, Expected::of(&placed));
    let queued = queued(&db.pool).await;
    assert_eq!(orders::consume_in_sql(&db.pool).await.unwrap(), queued.len() as u64);
    assert_eq!(Books::read(&db.pool, run.id).await.unwrap(), expected.books);
    assert_eq!(orders::consume_in_sql(&db.pool).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_read_twice_is_kept_once() {
    let db = TestDb::new().await;
    let placed = orders::orders(1..=12);
    let (run, expected) = (run(&db, &placed).await, Expected::of(&placed));
    // The queue as it would be had a consumer died before it could delete anything, and once more
    // in the same batch.
    let again = "insert into pgmq.q_orders_domain_events (read_ct, enqueued_at, vt, message) \
        select 1, now(), now(), message from shop.read";
    sqlx::query("create table shop.read as select message from pgmq.q_orders_domain_events")
        .execute(&db.pool)
        .await
        .unwrap();
    sqlx::query(again).execute(&db.pool).await.unwrap();
    orders::consume_in_sql(&db.pool).await.unwrap();
    assert_eq!(Books::read(&db.pool, run.id).await.unwrap(), expected.books);
    sqlx::query(again).execute(&db.pool).await.unwrap();
    consume_in_rust(&db.pool, run.id).await;
    assert_eq!(Books::read(&db.pool, run.id).await.unwrap(), expected.books);
}

#[tokio::test]
async fn a_payment_that_breaks_its_schema_is_a_dead_letter_and_its_order_is_shipped() {
    let db = TestDb::new().await;
    let order = &orders::orders([8])[0];
    assert_eq!((order.currency.as_str(), order.is_card_valid()), ("GBP", true));
    let run = run(&db, std::slice::from_ref(order)).await;
    assert_eq!(run.complete, 1);
    let letter = Refused {
        order_id: 8,
        name: "payment.processed".to_owned(),
        detail: "the payload breaks the event's schema: \
                 /currency: \"GBP\" is not one of \"EUR\" or \"USD\""
            .to_owned(),
    };
    assert_eq!(orders::refused(&db.pool, run.id).await.unwrap(), [letter]);
    assert_eq!((names(&run.heard, "payment.processed"), run.figures.paid.len()), (0, 0));
    let queued = queued(&db.pool).await;
    assert_eq!(
        queued.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(),
        ["order.shipped"]
    );
    let charge = calls::show_step(&db.pool, run.tasks[0], "charge").await.unwrap();
    assert_eq!((charge.state.to_string(), charge.attempt), ("complete".to_owned(), 1));
    assert_eq!(charge.result.unwrap()["amount"], order.amount());
}

#[tokio::test]
async fn the_publisher_masks_cards_adds_the_order_and_keeps_gifts_back() {
    let db = TestDb::new().await;
    // A payment, a gift, a refused card.
    let placed = orders::orders([1, 5, 6]);
    let run = run(&db, &placed).await;
    let payments: Vec<(String, Value, Value)> = queued(&db.pool)
        .await
        .into_iter()
        .filter(|event| event.name.starts_with("payment."))
        .map(|event| (event.name, event.payload["card"].clone(), event.metadata))
        .collect();
    let paid =
        ("payment.processed".to_owned(), json!("**** 4444"), json!({"order_id": 1, "attempt": 1}));
    let failed = ("payment.failed".to_owned(), Value::Null, json!({"order_id": 6, "attempt": 1}));
    assert_eq!(payments.len(), 2, "of a gift nothing is told: {payments:?}");
    assert!(payments.contains(&paid) && payments.contains(&failed), "{payments:?}");
    let told = format!("{:?}{:?}", run.heard, queued(&db.pool).await);
    assert!(placed.iter().all(|order| !told.contains(&order.card)), "{told}");
}
