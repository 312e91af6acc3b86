//! The durable consumer of domain events: the helper of the worker library.

use crate::world::SOON;
use pgtasker_core::{
    breaker::Breaker,
    db::{DbOptions, connect},
    health::Health,
};
use pgtasker_tests::{
    engine::{Engine, flow},
    eventually,
};
use pgtasker_worker::{
    CancellationToken, DomainEvent, EventConsumer, EventConsumerBuilder, StepError,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const QUEUE: &str = "test_domain_events";

/// `test.flow` of one step that announces `payment.processed`.
pub(crate) fn paying() -> Value {
    let mut template = flow(&[("pay", &[])]);
    template["steps"][0]["publishes_events"] =
        json!([{"name": "payment.processed", "delivery": "durable"}]);
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
        let results = json!([{
            "task_id": claim.task_id,
            "step": "pay",
            "claim_no": claim.claim_no,
            "outcome": {"type": "success"},
            "events": [{"name": "payment.processed", "payload": {"n": n}}],
        }]);
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

pub(crate) async fn empty(e: &Engine) {
    eventually("the queue to be empty", SOON, async || match e.depth(QUEUE).await {
        0 => Ok(()),
        n => Err(n),
    })
    .await;
}

/// Reason, status, and detail of each dead letter, as `tasker dead-letter list` has them, with its
/// id.
async fn dead_letters(pool: &PgPool) -> Vec<(Uuid, String, String, String)> {
    sqlx::query_as(
        "select entry_id, reason, status, detail from tasker.dead_letter_overview order by \
         entry_id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn dead_letter(pool: &PgPool) -> (Uuid, String) {
    eventually("a dead letter", SOON, async || {
        dead_letters(pool).await.pop().map(|found| (found.0, found.3))
    })
    .await
}

/// What the handler has been called with: how often with each payload's `n`.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<DomainEvent>>>);

impl Calls {
    pub(crate) fn add(&self, event: &DomainEvent) -> usize {
        let mut calls = self.0.lock().unwrap();
        calls.push(event.clone());
        calls.iter().filter(|call| call.id == event.id).count()
    }

    pub(crate) fn all(&self) -> Vec<DomainEvent> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn counts(&self) -> BTreeMap<i64, usize> {
        let mut counts = BTreeMap::new();
        for event in self.all() {
            *counts.entry(event.payload["n"].as_i64().unwrap()).or_default() += 1;
        }
        counts
    }

    pub(crate) async fn reach(&self, at_least: usize) {
        eventually("the handler to be called", SOON, async || match self.all().len() {
            n if n >= at_least => Ok(()),
            n => Err(n),
        })
        .await;
    }
}

pub(crate) struct Running {
    pub(crate) shutdown: CancellationToken,
    ended: JoinHandle<pgtasker_core::Result<()>>,
}

impl Running {
    pub(crate) async fn start(
        url: &str,
        with: impl FnOnce(EventConsumerBuilder) -> EventConsumerBuilder,
    ) -> Self {
        let pool = connect(&DbOptions::new(url, "consumer")).await.unwrap();
        let consumer = with(EventConsumer::builder(pool).namespace("test")).build().unwrap();
        let shutdown = CancellationToken::new();
        Self { ended: tokio::spawn(consumer.run(shutdown.clone())), shutdown }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap().unwrap();
    }

    /// As by kill -9, as far as the database sees.
    pub(crate) async fn kill(self) {
        self.ended.abort();
        assert!(self.ended.await.unwrap_err().is_cancelled());
    }
}

/// A consumer whose handler answers by `answer`, given how often it has been called with the event.
pub(crate) async fn consumer(
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
            (
                event.name.as_str(),
                event.namespace.as_str(),
                event.template.as_str(),
                event.step.as_str()
            ),
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
            // Cut to the longest delay, 11 days.
            _ => Err(error.retry_after(Duration::MAX)),
        }
    };
    let (running, calls) = consumer(&e.db.url, answer, |c| {
        c.backoff(Duration::from_secs(1_000), Duration::from_secs(1_000))
            .visible(Duration::from_secs(20))
    })
    .await;
    calls.reach(3).await;
    let seconds = eventually("three delays", SOON, async || {
        let waits: Vec<f64> = sqlx::query_scalar(
            "select extract(epoch from vt - clock_timestamp())::float8 from \
             pgmq.q_test_domain_events order by msg_id",
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
    assert!((999_000.0..=1_000_000.0).contains(&seconds[2]), "{seconds:?}");
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
        sqlx::query_as("select queue, message from tasker.dead_letters where entry_id = $1")
            .bind(entry)
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!((queue.as_str(), &message["id"]), (QUEUE, &json!(calls.all()[0].id)));

    open.store(true, std::sync::atomic::Ordering::SeqCst);
    sqlx::query("select tasker.retry_dead_letter($1, 'it has opened', 'ana')")
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
    let mut details: Vec<String> =
        dead_letters(e.pool()).await.into_iter().map(|entry| entry.3).collect();
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
        sqlx::query("select pgmq.send($1, $2::jsonb)")
            .bind(QUEUE)
            .bind(bad)
            .execute(e.pool())
            .await
            .unwrap();
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

/// An operator may find that the event was right and its template not.
#[tokio::test]
async fn an_undeclared_event_that_an_operator_sends_is_an_event_like_others() {
    let e = shop().await;
    e.start().await;
    let claim = e.claim(1).await.remove(0);
    let results = json!([{
        "task_id": claim.task_id,
        "step": "pay",
        "claim_no": claim.claim_no,
        "outcome": {"type": "success"},
        "events": [{"name": "payment.doubted", "payload": {"n": 1}}],
    }]);
    sqlx::query("select * from tasker.complete_steps($1, $2)")
        .bind(e.worker)
        .bind(results)
        .execute(e.pool())
        .await
        .unwrap();
    let (entry, _) = dead_letter(e.pool()).await;
    sqlx::query("select tasker.retry_dead_letter($1, 'it is one of ours', 'ana')")
        .bind(entry)
        .execute(e.pool())
        .await
        .unwrap();
    let (running, calls) = consumer(&e.db.url, |_, _| Ok(()), |c| c).await;
    empty(&e).await;
    running.stop().await;
    let event = calls.all().remove(0);
    assert_eq!((event.name.as_str(), event.version.as_str()), ("payment.doubted", ""));
    assert_eq!(dead_letters(e.pool()).await.len(), 1);
}

#[tokio::test]
async fn a_handler_that_goes_on_after_its_time_keeps_its_place_and_other_events_wait() {
    let e = shop().await;
    publish(&e, 0..2).await;
    let pool = connect(&DbOptions::new(&e.db.url, "consumer")).await.unwrap();
    let held = Arc::new(Mutex::new(Vec::new()));
    let slots = Arc::clone(&held);
    let health = Health::new();
    let consumer = EventConsumer::builder(pool.clone())
        .breaker(Breaker::new(&pool, health.clone()))
        .namespace("test")
        .visible(Duration::from_secs(1))
        .backoff(Duration::ZERO, Duration::ZERO)
        .concurrency(1)
        .slot_handler(move |event: DomainEvent, slot| {
            let slots = Arc::clone(&slots);
            async move {
                // One thread that never ends; the second try and the other event are quick.
                let goes_on = event.payload["n"] == 0 && slots.lock().unwrap().is_empty();
                if goes_on {
                    slots.lock().unwrap().push(Some(slot));
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        })
        .build()
        .unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(consumer.run(shutdown.clone()));
    eventually("it to say what is wrong", SOON, async || {
        let reason = health.status().reason.unwrap_or_default();
        if reason.contains("all 1 places") { Ok(()) } else { Err(reason) }
    })
    .await;
    assert_eq!(e.depth(QUEUE).await, 2, "no other event was read");
    held.lock().unwrap()[0].take();
    empty(&e).await;
    assert!(health.status().healthy);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
