//! The durable consumer of domain events: the helper of the worker library.

use crate::world::SOON;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tasker_core::db::{DbOptions, connect};
use tasker_tests::{
    Network, Proxy, TestDb,
    engine::{Engine, flow},
    eventually, start_server,
};
use tasker_worker::{CancellationToken, DomainEvent, EventConsumer, EventConsumerBuilder, StepError};
use tokio::{sync::Semaphore, task::JoinHandle};
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const QUEUE: &str = "test_domain_events";

/// `test.flow` of one step that announces `payment.processed`.
pub(crate) fn paying() -> Value {
    let mut template = flow(&[("pay", &[])]);
    template["steps"][0]["publishes_events"] = json!([{"name": "payment.processed", "delivery": "durable"}]);
    template
}

pub(crate) async fn shop() -> Engine {
    let e = Engine::new().await;
    e.apply(paying()).await;
    e
}

/// Completes a task for each payload, with an event of it.
pub(crate) async fn publish(e: &Engine, payloads: impl IntoIterator<Item = i64>) {
    for n in payloads {
        e.start().await;
        let claim = e.claim(1).await.remove(0);
        let results = json!([{"task_id": claim.task_id, "step": "pay", "claim_no": claim.claim_no,
                              "outcome": {"type": "success"}, "events": [{"name": "payment.processed", "payload": {"n": n}}]}]);
        sqlx::query("select * from tasker.complete_steps($1, $2)")
            .bind(e.worker)
            .bind(results)
            .execute(e.pool())
            .await
            .unwrap();
    }
}

/// As if the visibility of all events had ended.
pub(crate) async fn show_all(pool: &PgPool) {
    sqlx::query("select pgmq.set_vt($1, msg_id, 0) from pgmq.q_test_domain_events")
        .bind(QUEUE)
        .execute(pool)
        .await
        .unwrap();
}

async fn empty(e: &Engine) {
    eventually("the queue to be empty", SOON, async || match e.depth(QUEUE).await {
        0 => Ok(()),
        n => Err(n),
    })
    .await;
}

/// Reason, status, and detail of each dead letter, as `tasker dlq list` has them, with its id.
async fn dead_letters(pool: &PgPool) -> Vec<(Uuid, String, String, String)> {
    sqlx::query_as("select entry_id, reason, status, detail from tasker.dlq_overview order by entry_id")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn dead_letter(pool: &PgPool) -> (Uuid, String) {
    eventually("a dead letter", SOON, async || dead_letters(pool).await.pop().map(|found| (found.0, found.3)))
        .await
}

/// What the handler has been called with: how often with each payload's `n`.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<DomainEvent>>>);

impl Calls {
    fn add(&self, event: &DomainEvent) -> usize {
        let mut calls = self.0.lock().unwrap();
        calls.push(event.clone());
        calls.iter().filter(|call| call.id == event.id).count()
    }

    fn all(&self) -> Vec<DomainEvent> {
        self.0.lock().unwrap().clone()
    }

    fn counts(&self) -> BTreeMap<i64, usize> {
        let mut counts = BTreeMap::new();
        for event in self.all() {
            *counts.entry(event.payload["n"].as_i64().unwrap()).or_default() += 1;
        }
        counts
    }

    async fn reach(&self, at_least: usize) {
        eventually("the handler to be called", SOON, async || match self.all().len() {
            n if n >= at_least => Ok(()),
            n => Err(n),
        })
        .await;
    }
}

struct Running {
    shutdown: CancellationToken,
    ended: JoinHandle<tasker_core::Result<()>>,
}

impl Running {
    async fn start(url: &str, with: impl FnOnce(EventConsumerBuilder) -> EventConsumerBuilder) -> Self {
        let pool = connect(&DbOptions::new(url, "consumer")).await.unwrap();
        let consumer = with(EventConsumer::builder(pool).namespace("test")).build().unwrap();
        let shutdown = CancellationToken::new();
        Self { ended: tokio::spawn(consumer.run(shutdown.clone())), shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap().unwrap();
    }

    /// As by kill -9, as far as the database sees.
    async fn kill(self) {
        self.ended.abort();
        assert!(self.ended.await.unwrap_err().is_cancelled());
    }
}

/// A consumer whose handler answers by `answer`, given how often it has been called with the event.
async fn consumer(
    url: &str,
    answer: impl Fn(DomainEvent, usize) -> Result<(), StepError> + Clone + Send + Sync + 'static,
    with: impl FnOnce(EventConsumerBuilder) -> EventConsumerBuilder,
) -> (Running, Calls) {
    let calls = Calls::default();
    let seen = calls.clone();
    let running = Running::start(url, |builder| {
        let handler = move |event: DomainEvent| {
            let (answer, times) = (answer.clone(), seen.add(&event));
            async move { answer(event, times) }
        };
        with(builder.handler(handler).backoff(Duration::ZERO, Duration::ZERO))
    })
    .await;
    (running, calls)
}

/// With no right but the one role, which is all a consumer needs.
#[tokio::test]
async fn events_are_handled_each_once_and_are_gone() {
    let e = shop().await;
    publish(&e, 0..30).await;
    let (_, url) = e.db.login(&["tasker_consumer"]).await;
    let (running, calls) = consumer(&url, |_, _| Ok(()), |c| c.batch(7).concurrency(5)).await;
    empty(&e).await;
    assert_eq!(calls.counts(), (0..30).map(|n| (n, 1)).collect());
    for event in calls.all() {
        assert_eq!(
            (event.name.as_str(), event.namespace.as_str(), event.template.as_str(), event.step.as_str()),
            ("payment.processed", "test", "flow", "pay")
        );
        assert_eq!(e.task_state(event.task_id).await, "complete");
    }
    running.stop().await;
    assert_eq!(dead_letters(e.pool()).await, []);
}

#[tokio::test]
async fn a_notification_wakes_it_long_before_its_poll() {
    let e = shop().await;
    let (running, calls) = consumer(&e.db.url, |_, _| Ok(()), |c| c.poll_interval(HOUR)).await;
    for n in 1..=3 {
        publish(&e, [n]).await;
        calls.reach(n as usize).await;
    }
    empty(&e).await;
    running.stop().await;
}

#[tokio::test]
async fn without_notifications_it_polls() {
    let e = shop().await;
    let (running, calls) = consumer(&e.db.url, |_, _| Ok(()), |c| c.poll_only(true)).await;
    publish(&e, 0..3).await;
    calls.reach(3).await;
    empty(&e).await;
    running.stop().await;
}

#[tokio::test]
async fn it_waits_for_a_namespace_and_for_its_first_durable_event() {
    let e = Engine::new().await;
    let (running, calls) =
        consumer(&e.db.url, |_, _| Ok(()), |c| c.poll_interval(Duration::from_millis(50))).await;
    e.apply_flow(&[("pay", &[])]).await;
    let mut template = paying();
    template["version"] = json!("2");
    e.apply(template).await;
    publish(&e, [1]).await;
    calls.reach(1).await;
    empty(&e).await;
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_fails_is_handled_again_until_it_is_done() {
    let e = shop().await;
    publish(&e, [1, 2]).await;
    let answer = |event: DomainEvent, times| match event.payload["n"].as_i64() {
        Some(1) if times < 3 => Err(StepError::retryable("the bank is closed")),
        _ => Ok(()),
    };
    let (running, calls) = consumer(&e.db.url, answer, |c| c).await;
    empty(&e).await;
    assert_eq!(calls.counts(), [(1, 3), (2, 1)].into());
    assert_eq!(dead_letters(e.pool()).await, []);
    running.stop().await;
}

#[tokio::test]
async fn a_failure_waits_for_its_backoff_or_for_as_long_as_it_asks() {
    let e = shop().await;
    publish(&e, [1, 2, 3]).await;
    let answer = |event: DomainEvent, _| {
        let error = StepError::retryable("not now");
        match event.payload["n"].as_i64() {
            Some(1) => Err(error),
            Some(2) => Err(error.retry_after(Duration::from_secs(5_000))),
            // Longer than any clock goes.
            _ => Err(error.retry_after(Duration::MAX)),
        }
    };
    let (running, calls) = consumer(&e.db.url, answer, |c| {
        c.backoff(Duration::from_secs(1_000), Duration::from_secs(1_000)).visible(Duration::from_secs(20))
    })
    .await;
    calls.reach(3).await;
    let seconds = eventually("three delays", SOON, async || {
        let waits: Vec<f64> = sqlx::query_scalar(
            "select extract(epoch from vt - clock_timestamp())::float8 from pgmq.q_test_domain_events order by msg_id",
        )
        .fetch_all(e.pool())
        .await
        .unwrap();
        if waits.iter().all(|wait| *wait > 30.0) { Ok(waits) } else { Err(waits) }
    })
    .await;
    // The first is jittered: half of it to the whole.
    assert!((400.0..=1_001.0).contains(&seconds[0]), "{seconds:?}");
    assert!((4_900.0..=5_001.0).contains(&seconds[1]), "{seconds:?}");
    assert!(seconds[2] > 2e9, "{seconds:?}");
    running.stop().await;
}

#[tokio::test]
async fn an_event_without_attempts_left_is_a_dead_letter_that_an_operator_sends_again() {
    let e = shop().await;
    publish(&e, [1]).await;
    let open = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let bank = Arc::clone(&open);
    let answer = move |_, _| match bank.load(std::sync::atomic::Ordering::SeqCst) {
        true => Ok(()),
        false => Err(StepError::retryable("the bank is closed").code("bank")),
    };
    let (running, calls) = consumer(&e.db.url, answer, |c| c.max_attempts(2)).await;
    let (entry, detail) = dead_letter(e.pool()).await;
    assert_eq!(detail, "failed 2 times, at last with: bank: the bank is closed");
    assert_eq!((e.depth(QUEUE).await, calls.counts()), (0, [(1, 2)].into()));
    let (queue, message): (String, Value) =
        sqlx::query_as("select queue, message from tasker.dlq_entries where entry_id = $1")
            .bind(entry)
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!((queue.as_str(), &message["id"]), (QUEUE, &json!(calls.all()[0].id)));

    open.store(true, std::sync::atomic::Ordering::SeqCst);
    sqlx::query("select tasker.dlq_retry($1, 'it has opened', 'ana')")
        .bind(entry)
        .execute(e.pool())
        .await
        .unwrap();
    calls.reach(3).await;
    empty(&e).await;
    let all = calls.all();
    assert!(all.iter().all(|event| *event == all[0]), "the same event, with its id: {all:?}");
    assert_eq!(dead_letters(e.pool()).await[0].2, "manually_resolved");
    running.stop().await;
}

#[tokio::test]
async fn a_permanent_failure_is_a_dead_letter_at_once() {
    let e = shop().await;
    publish(&e, [1]).await;
    let answer = |_, _| Err(StepError::permanent("no such or\0der"));
    let (running, calls) = consumer(&e.db.url, answer, |c| c).await;
    let (_, detail) = dead_letter(e.pool()).await;
    assert_eq!(detail, "refused by its handler: no such or\u{fffd}der");
    assert_eq!((calls.all().len(), e.depth(QUEUE).await), (1, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_panic_and_a_handler_that_takes_too_long_are_failures_of_their_event_only() {
    let e = shop().await;
    publish(&e, [1, 2, 3]).await;
    let running = Running::start(&e.db.url, |c| {
        let handler = |event: DomainEvent| async move {
            match event.payload["n"].as_i64() {
                Some(1) => panic!("odd"),
                Some(2) => std::future::pending().await,
                _ => Ok(()),
            }
        };
        c.handler(handler).max_attempts(1).visible(Duration::from_secs(2))
    })
    .await;
    empty(&e).await;
    let mut details: Vec<String> = dead_letters(e.pool()).await.into_iter().map(|entry| entry.3).collect();
    details.sort();
    assert_eq!(
        details,
        [
            "failed 1 times, at last with: panic: the handler panicked: odd",
            "failed 1 times, at last with: timeout: the handler took longer than 1.5s"
        ]
    );
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_event_is_a_dead_letter_and_hinders_no_other() {
    let e = shop().await;
    for bad in [r#"{"name": "x"}"#, "17", r#"{"n": 1e400}"#] {
        sqlx::query("select pgmq.send($1, $2::jsonb)").bind(QUEUE).bind(bad).execute(e.pool()).await.unwrap();
    }
    publish(&e, [1]).await;
    let (running, calls) = consumer(&e.db.url, |_, _| Ok(()), |c| c).await;
    empty(&e).await;
    assert_eq!(calls.counts(), [(1, 1)].into());
    let dead = dead_letters(e.pool()).await;
    assert_eq!(dead.len(), 3);
    for (_, reason, status, detail) in dead {
        assert_eq!((reason.as_str(), status.as_str()), ("bad_message", "pending"));
        assert!(detail.starts_with("not a domain event: "), "{detail}");
    }
    running.stop().await;
}

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
async fn an_event_that_kills_its_consumers_is_a_dead_letter_in_the_end() {
    let e = shop().await;
    publish(&e, [1]).await;
    for _ in 0..2 {
        let read: i64 = sqlx::query_scalar("select count(*) from tasker.read_events('test', 1)")
            .fetch_one(e.pool())
            .await
            .unwrap();
        assert_eq!(read, 1);
        show_all(e.pool()).await;
    }
    let (running, calls) = consumer(&e.db.url, |_, _| Ok(()), |c| c.max_attempts(2)).await;
    let (_, detail) = dead_letter(e.pool()).await;
    assert!(detail.starts_with("read 2 times without an answer"), "{detail}");
    assert_eq!((calls.all().len(), e.depth(QUEUE).await), (0, 0));
    running.stop().await;
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
    let mut server = start_server(&[]).await;
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
    let consumer =
        EventConsumer::builder(pool).namespace("test").handler(handler).visible(HOUR).build().unwrap();
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
