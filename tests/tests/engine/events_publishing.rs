//! Events of steps that a worker runs: which are published when, by whom, and what becomes of those
//! that cannot be.

use crate::world::{SOON, World};
use pgtasker_core::{
    DomainEvent,
    db::{DbOptions, connect},
};
use pgtasker_tests::eventually;
use pgtasker_worker::{
    CancellationToken, Publication, StepContext, StepError, StepOutcome, Worker,
};
use serde_json::{Value, json};
use sqlx::query_scalar;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// One step, tried twice at most, that publishes these.
fn publishing(events: Value) -> Value {
    json!({"namespace": "test", "name": "flow", "version": "1", "steps": [
        {"name": "only", "handler": {"callable": "work"}, "publishes_events": events,
         "retry": {"max_attempts": 2, "backoff_base_ms": 0, "jitter": false}}]})
}

/// One event a condition, named after it.
fn every_condition() -> Value {
    let all = ["success", "failure", "retry", "always"];
    all.map(|condition| json!({"name": format!("on.{condition}"), "condition": condition}))
        .into_iter()
        .collect()
}

/// The events in the queue, in order.
async fn queued(world: &World) -> Vec<DomainEvent> {
    let messages: Vec<Value> =
        query_scalar("select message from pgmq.q_test_domain_events order by msg_id")
            .fetch_all(&world.db.pool)
            .await
            .unwrap();
    messages.into_iter().map(|message| serde_json::from_value(message).unwrap()).collect()
}

/// Names and payloads, sorted.
async fn told(world: &World) -> Vec<(String, Value)> {
    let mut told: Vec<(String, Value)> =
        queued(world).await.into_iter().map(|e| (e.name, e.payload)).collect();
    told.sort_by_key(|(name, _)| name.clone());
    told
}

/// Why events became dead letters, and which.
async fn dead(world: &World) -> Vec<(String, String)> {
    sqlx::query_as(
        "select detail, message ->> 'name' from tasker.dead_letters where queue = \
        'test_domain_events' order by detail",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_success_tells_its_result_with_all_that_says_whose_it_is() {
    let world = World::with(publishing(every_condition())).await;
    world
        .worker(|w| w.handler("work", async |_| Ok(StepOutcome::success(json!({"sum": 3})))))
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    let result = json!({"sum": 3});
    assert_eq!(
        told(&world).await,
        [("on.always".to_owned(), result.clone()), ("on.success".to_owned(), result)]
    );
    let event = queued(&world).await.remove(0);
    assert_eq!((event.task_id, &*event.step, event.claim_no), (id, "only", 1));
    assert_eq!((&*event.namespace, &*event.template, &*event.version), ("test", "flow", "1.0"));
    assert_eq!(event.correlation_id, Some(id));
}

#[tokio::test]
async fn each_failure_tells_whether_it_is_the_last() {
    let world = World::with(publishing(every_condition())).await;
    world
        .worker(|w| {
            w.handler("work", async |_| {
                Err::<StepOutcome, _>(StepError::retryable("no card").code("card"))
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let failure = |attempt| {
        json!({
            "message": "no card",
            "code": "card",
            "retryable": true,
            "attempt": attempt,
        })
    };
    let expected = [
        ("on.always", failure(1)),
        ("on.always", failure(2)),
        ("on.failure", failure(2)),
        ("on.retry", failure(1)),
    ];
    assert_eq!(told(&world).await, expected.map(|(name, payload)| (name.to_owned(), payload)));
}

#[tokio::test]
async fn what_a_handler_publishes_takes_the_place_of_the_default_and_waits_for_its_condition() {
    let world = World::with(publishing(
        json!([{"name": "item.shipped"}, {"name": "on.failure", "condition": "failure"}]),
    ))
    .await;
    world
        .worker(|w| {
            w.handler("work", async |ctx: StepContext| {
                ctx.publish("item.shipped", json!(ctx.attempt()));
                ctx.publish("item.shipped", json!(10 + ctx.attempt()));
                if ctx.attempt() == 1 {
                    Err(StepError::retryable("again"))
                } else {
                    Ok(StepOutcome::success(()))
                }
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    let shipped = |n: i32| ("item.shipped".to_owned(), json!(n));
    assert_eq!(told(&world).await, [shipped(2), shipped(12)]);
    assert_eq!(dead(&world).await, []);
}

#[tokio::test]
async fn an_event_that_cannot_be_published_is_a_dead_letter_and_its_step_is_done() {
    let needs = json!({"type": "object", "required": ["amount"]});
    let world = World::with(publishing(json!([
        {"name": "a.unfit", "schema": needs},
        {"name": "b.nul"},
        {"name": "c.panic"},
        {"name": "d.fit", "schema": needs},
    ])))
    .await;
    world
        .worker(|w| {
            w.publisher("c.*", panics).handler("work", async |ctx: StepContext| {
                ctx.publish("a.unfit", json!({}));
                ctx.publish("b.nul", json!("a\0b"));
                ctx.publish("d.fit", json!({"amount": 1}));
                ctx.publish("e.unknown", json!(5));
                Ok(StepOutcome::success(()))
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    assert_eq!(told(&world).await, [("d.fit".to_owned(), json!({"amount": 1}))]);
    let dead = dead(&world).await;
    let expected = [
        (
            "step only of test.flow does not declare the event e.unknown: add it to its \
             publishes_events",
            "e.unknown",
        ),
        ("the event's publisher panicked: publisher", "c.panic"),
        ("the payload breaks the event's schema: /amount: is required", "a.unfit"),
        (
            "the step's payload cannot be stored: a string holds the character NUL (\\u0000), at \
             the whole",
            "b.nul",
        ),
    ];
    assert_eq!(dead, expected.map(|(detail, name)| (detail.to_owned(), name.to_owned())));
}

async fn panics(_: Publication, _: StepContext) -> Result<Option<Publication>, StepError> {
    panic!("publisher")
}

#[tokio::test]
async fn a_publisher_changes_events_adds_to_them_or_keeps_them_back() {
    let world =
        World::with(publishing(json!([{"name": "a.b"}, {"name": "a.secret"}, {"name": "other"}])))
            .await;
    world
        .worker(|w| {
            w.publisher("a.*", |mut event: Publication, ctx: StepContext| async move {
                event.payload = json!({"of": event.payload});
                event.metadata = json!({"step": ctx.step()});
                Ok((event.name() != "a.secret").then_some(event))
            })
            .handler("work", async |_| Ok(StepOutcome::success(1)))
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    assert_eq!(
        told(&world).await,
        [("a.b".to_owned(), json!({"of": 1})), ("other".to_owned(), json!(1))]
    );
    assert_eq!(queued(&world).await[0].metadata, json!({"step": "only"}));
}

#[tokio::test]
async fn a_result_that_is_not_accepted_has_no_events() {
    let world = World::with(publishing(json!([{"name": "a"}]))).await;
    // The database does not take a decision of a standard step: it fails, and the event told of a
    // success.
    world.worker(|w| w.handler("work", async |_| Ok(StepOutcome::decision(["other"])))).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    assert_eq!((told(&world).await, dead(&world).await), (vec![], vec![]));
}

#[tokio::test]
async fn events_of_a_steps_own_transaction_commit_or_vanish_with_it() {
    let world = World::with(publishing(json!([{"name": "booked"}]))).await;
    world
        .worker(|w| {
            w.handler("work", async |ctx: StepContext| {
                let tx = ctx.begin().await?;
                if ctx.attempt() == 1 {
                    tx.rollback().await;
                    return Err(StepError::retryable("rolled back"));
                }
                ctx.publish("booked", json!({"attempt": ctx.attempt()}));
                tx.complete(1).await
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    assert_eq!(told(&world).await, [("booked".to_owned(), json!({"attempt": 2}))]);
}

#[tokio::test]
async fn a_step_of_the_sql_handler_publishes_what_its_function_returned() {
    let template = json!({
        "namespace": "test",
        "name": "flow",
        "version": "1",
        "steps": [{
            "name": "only",
            "handler": {"callable": "sql", "config": {"function": "public.book"}},
            "publishes_events": [
                {"name": "booked", "schema": {"type": "object", "required": ["id"]}},
                {"name": "not.booked", "condition": "failure"},
            ],
        }],
    });
    let world = World::with(template).await;
    sqlx::raw_sql(
        "create function public.book(jsonb) returns jsonb language sql as $$ select '{\"id\": \
         7}'::jsonb $$",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    world.worker(|w| w).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": {"id": 7}}));
    assert_eq!(told(&world).await, [("booked".to_owned(), json!({"id": 7}))]);
    assert_eq!(dead(&world).await, []);
}

/// A worker with a subscriber that keeps what it hears.
async fn heard(world: &World, pattern: &str) -> Arc<Mutex<Vec<Arc<DomainEvent>>>> {
    let pool = connect(&DbOptions::new(&world.db.url, "worker")).await.unwrap();
    let worker = Worker::builder(pool)
        .namespace("test")
        .handler("work", async |_| Ok(StepOutcome::success(5)));
    let worker = worker.build().unwrap();
    let mut events = worker.subscribe(pattern).unwrap();
    assert!(worker.subscribe("No pattern").is_err());
    tokio::spawn(worker.run(CancellationToken::new()));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            kept.lock().unwrap().push(event);
        }
    });
    heard
}

#[tokio::test]
async fn fast_events_reach_subscribers_and_broadcast_ones_the_queue_as_well() {
    let world = World::with(publishing(json!([
        {"name": "a.durable"},
        {"name": "a.fast", "delivery": "fast"},
        {"name": "a.both", "delivery": "broadcast"},
        {"name": "b.fast", "delivery": "fast"},
    ])))
    .await;
    let heard = heard(&world, "a.*").await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    let events = eventually("two events to be heard", SOON, async || {
        let events = heard.lock().unwrap().clone();
        if events.len() == 2 { Ok(events) } else { Err(events.len()) }
    })
    .await;
    let names: Vec<&str> = events.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["a.fast", "a.both"]);
    let queued = queued(&world).await;
    let names: Vec<&str> = queued.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["a.durable", "a.both"]);
    // One event, whichever way it came; only the two clocks differ.
    let both = DomainEvent { time: queued[1].time, ..(*events[1]).clone() };
    assert_eq!(both, queued[1]);
    assert_ne!(both.id, Uuid::nil());
}

#[tokio::test]
async fn a_schema_that_is_none_is_refused_where_it_stands() {
    let db = pgtasker_tests::TestDb::new().await;
    let broken = publishing(json!([{"name": "a"}, {"name": "b", "schema": {"type": "objet"}}]));
    let report = pgtasker_core::template::validate_template(&db.pool, &broken).await.unwrap();
    let [problem] = &report.problems[..] else { panic!("{report:?}") };
    assert_eq!(problem.path, "/steps/0/publishes_events/1/schema/type");
    assert!(
        problem.message.starts_with("schema is not a valid JSON Schema: "),
        "{}",
        problem.message
    );
    let error = pgtasker_core::template::apply_template(&db.pool, &broken, None).await.unwrap_err();
    assert!(error.to_string().contains("/steps/0/publishes_events/1/schema/type"), "{error}");
}
