//! What comes of events in the hands of a consumer that is shut down or killed, or whose database
//! goes away.

use crate::{
    events_consumer::{
        Calls, HOUR, QUEUE, Running, consumer, empty, paying, publish, shop, show_all,
    },
    world::SOON,
};
use pgtasker_core::db::{DbOptions, connect};
use pgtasker_tests::{Network, Proxy, TestDb, engine::Engine, eventually, start_server};
use pgtasker_worker::{CancellationToken, DomainEvent, EventConsumer};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use uuid::Uuid;

#[tokio::test]
async fn what_a_killed_consumer_had_in_hand_goes_to_another() {
    let e = shop().await;
    publish(&e, [1]).await;
    let effects = Calls::default();
    let seen = effects.clone();
    let first = Running::start(&e.db.url, |c| {
        let handler = move |event: DomainEvent| {
            seen.add(&event);
            std::future::pending()
        };
        c.handler(handler).visible(HOUR)
    })
    .await;
    effects.reach(1).await;
    let (second, calls) = consumer(&e.db.url, |_, _| Ok(()), |c| c).await;
    first.kill().await;
    assert_eq!(
        (calls.all().len(), e.depth(QUEUE).await),
        (0, 1),
        "nobody else has it while it is not visible"
    );
    show_all(e.pool()).await;
    empty(&e).await;
    assert_eq!(calls.all(), effects.all(), "with the same id");
    second.stop().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_handlers_that_run() {
    let e = shop().await;
    publish(&e, [1, 2]).await;
    let (calls, go) = (Calls::default(), Arc::new(Semaphore::new(0)));
    let (seen, wait) = (calls.clone(), Arc::clone(&go));
    let running = Running::start(&e.db.url, |c| {
        let handler = move |event: DomainEvent| {
            seen.add(&event);
            let wait = Arc::clone(&wait);
            async move {
                wait.acquire().await?.forget();
                Ok(())
            }
        };
        c.handler(handler).grace(HOUR)
    })
    .await;
    calls.reach(2).await;
    running.shutdown.cancel();
    publish(&e, [3]).await;
    go.add_permits(2);
    running.stop().await;
    assert_eq!(calls.counts(), [(1, 1), (2, 1)].into(), "it reads no more");
    assert_eq!(e.depth(QUEUE).await, 1);
}

#[tokio::test]
async fn what_a_shutdown_cannot_wait_for_is_visible_to_others_at_once() {
    let e = shop().await;
    publish(&e, [1, 2]).await;
    let calls = Calls::default();
    let seen = calls.clone();
    let running = Running::start(&e.db.url, |c| {
        let handler = move |event: DomainEvent| {
            seen.add(&event);
            std::future::pending()
        };
        c.handler(handler).visible(HOUR).grace(Duration::from_millis(50))
    })
    .await;
    calls.reach(2).await;
    running.stop().await;
    let read: Vec<i32> = sqlx::query_scalar("select read_ct from tasker.read_events('test', 10)")
        .fetch_all(e.pool())
        .await
        .unwrap();
    assert_eq!(read, [2, 2]);
}

#[tokio::test]
async fn no_event_is_lost_through_crashes_of_the_server() {
    const EVENTS: i64 = 60;
    // Else what was committed just before a crash may be lost, published events too.
    let mut server = start_server(&[("synchronous_commit", "on")]).await;
    let e = Engine { db: TestDb::on(&server).await, worker: Uuid::now_v7() };
    e.apply(paying()).await;
    publish(&e, 0..EVENTS).await;
    let calls = Calls::default();
    let seen = calls.clone();
    let running = Running::start(&e.db.url, |c| {
        let handler = move |event: DomainEvent| {
            seen.add(&event);
            async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            }
        };
        // What was read by a call whose answer a crash has swallowed waits for its visibility.
        c.handler(handler).concurrency(4).visible(Duration::from_secs(2))
    })
    .await;
    for at_least in [10, 30] {
        calls.reach(at_least).await;
        server.restart_immediate().await.unwrap();
    }
    let left = "select queue_length from pgmq.metrics('test_domain_events')";
    eventually("the queue to be empty", SOON * 2, async || {
        match sqlx::query_scalar::<_, i64>(left).fetch_one(&e.db.pool).await {
            Ok(0) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let synchronous: String =
        sqlx::query_scalar("show synchronous_commit").fetch_one(&e.db.pool).await.unwrap();
    assert_eq!(synchronous, "on");
    assert_eq!(calls.counts().into_keys().collect::<Vec<_>>(), (0..EVENTS).collect::<Vec<_>>());
    running.stop().await;
}

#[tokio::test]
async fn what_was_done_during_an_outage_is_finished_after_it_and_not_done_again() {
    let e = shop().await;
    publish(&e, [1]).await;
    let proxy = Proxy::to(&e.db.url).await;
    let (calls, go) = (Calls::default(), Arc::new(Semaphore::new(0)));
    let (seen, wait) = (calls.clone(), Arc::clone(&go));
    let pool = connect(&DbOptions::new(proxy.url(&e.db.url), "consumer")).await.unwrap();
    let handler = move |event: DomainEvent| {
        seen.add(&event);
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await?.forget();
            Ok(())
        }
    };
    let consumer = EventConsumer::builder(pool)
        .namespace("test")
        .handler(handler)
        .visible(HOUR)
        .build()
        .unwrap();
    let (health, shutdown) = (consumer.health(), CancellationToken::new());
    let ended = tokio::spawn(consumer.run(shutdown.clone()));
    calls.reach(1).await;
    proxy.set(Network::Down);
    go.add_permits(1);
    eventually("bad health", SOON, async || !health.is_healthy()).await;
    assert_eq!(e.depth(QUEUE).await, 1);
    proxy.set(Network::Up);
    empty(&e).await;
    eventually("good health", SOON, async || health.is_healthy()).await;
    assert_eq!(calls.counts(), [(1, 1)].into());
    let asked = Instant::now();
    shutdown.cancel();
    ended.await.unwrap().unwrap();
    assert!(asked.elapsed() < SOON, "nothing to wait for: {:?}", asked.elapsed());
}
