//! Whatever is wrong with an event or with its queue, the step that announced it is done, and the
//! event is not lost.

use crate::world::World;
use pgtasker_client::{QueueKind, calls};
use pgtasker_tests::engine::{Engine, publishing_flow};
use pgtasker_worker::{StepContext, StepOutcome};
use serde_json::{Value, json};
use sqlx::{query, query_as, query_scalar, raw_sql};

const QUEUE: &str = "test_domain_events";

/// `test.flow` with one step that publishes `paid`.
async fn engine() -> Engine {
    let e = Engine::new().await;
    e.apply(publishing_flow(&["paid"])).await;
    e
}

/// Submits a success of a new task's step with these events.
async fn announce(e: &Engine, events: Value) {
    e.start().await;
    let claim = e.claim(1).await.remove(0);
    assert_eq!(e.announce(&claim, events).await, "accepted");
}

/// Why events are dead letters, with their steps.
async fn dead(e: &Engine) -> Vec<(Option<String>, String)> {
    query_as(
        "select step, detail from tasker.dead_letters where queue = $1 and task_id is not \
        null order by detail",
    )
    .bind(QUEUE)
    .fetch_all(e.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_queue_that_refuses_an_event_makes_it_a_dead_letter() {
    let e = engine().await;
    raw_sql("create unique index on pgmq.q_test_domain_events ((message -> 'payload'))")
        .execute(e.pool())
        .await
        .unwrap();
    announce(&e, json!([{"name": "paid", "payload": 1}])).await;
    announce(&e, json!([{"name": "paid", "payload": 1}])).await;
    let dead = dead(&e).await;
    assert_eq!((dead.len(), e.depth(QUEUE).await), (1, 1));
    assert_eq!(dead[0].0.as_deref(), Some("pay"));
    assert!(dead[0].1.contains("its queue did not take it: duplicate key"), "{dead:?}");
}

#[tokio::test]
async fn a_queue_that_is_gone_hides_no_other_and_comes_back_with_the_template() {
    let e = engine().await;
    raw_sql("select pgmq.drop_queue('test_domain_events')").execute(e.pool()).await.unwrap();
    announce(&e, json!([{"name": "paid", "payload": 1}])).await;
    assert!(dead(&e).await[0].1.contains("apply a template of the namespace again"));
    let queues = calls::list_queues(e.pool()).await.unwrap();
    assert!(
        queues.len() > 1 && queues.iter().all(|queue| queue.kind != QueueKind::Events),
        "{queues:?}"
    );
    e.apply(publishing_flow(&["paid"])).await;
    let entry: uuid::Uuid =
        query_scalar("select entry_id from tasker.dead_letters").fetch_one(e.pool()).await.unwrap();
    query("select tasker.retry_dead_letter($1)").bind(entry).execute(e.pool()).await.unwrap();
    announce(&e, json!([{"name": "paid", "payload": 2}])).await;
    assert_eq!(e.depth(QUEUE).await, 2);
}

#[tokio::test]
async fn what_is_no_event_says_of_which_step_it_was_and_many_take_no_longer_each() {
    let e = engine().await;
    announce(&e, json!([5])).await;
    assert_eq!(
        dead(&e).await,
        [(Some("pay".to_owned()), r#"an event must be {"name","payload"}"#.to_owned())]
    );
    // Compared each with all others, these were half a minute.
    let many: Vec<Value> = (0..4_000).map(|n| json!({"name": "unknown", "payload": n})).collect();
    announce(&e, json!(many)).await;
    assert_eq!(dead(&e).await.len(), 4_001);
}

#[tokio::test]
async fn metadata_counts_for_the_size_of_an_event() {
    let e = engine().await;
    raw_sql("update tasker.settings set max_result_bytes = 10000").execute(e.pool()).await.unwrap();
    announce(&e, json!([{"name": "paid", "payload": 1, "metadata": "x".repeat(500_000)}])).await;
    assert_eq!(e.depth(QUEUE).await, 0);
    assert!(dead(&e).await[0].1.contains("the limit is 10000"), "{:?}", dead(&e).await);
}

#[tokio::test]
async fn an_event_that_a_reader_of_json_cannot_read_hides_no_other() {
    let e = engine().await;
    announce(&e, json!([{"name": "paid", "payload": 1}])).await;
    raw_sql("select pgmq.send('test_domain_events', '{\"payload\": 1e400}')")
        .execute(e.pool())
        .await
        .unwrap();
    let events = calls::list_events(e.pool(), "test", None, 10).await.unwrap();
    assert_eq!(events.len(), 2);
    assert!(events[0].domain_event().is_some());
    assert_eq!(events[1].event["payload"].to_string().len(), 401);
}

/// One step `only` with this handler that publishes `a.b`.
fn publishing(handler: Value) -> Value {
    json!({
        "namespace": "test",
        "name": "flow",
        "version": "1",
        "steps": [{
            "name": "only",
            "handler": handler,
            "publishes_events": [{"name": "a.b"}],
            "retry": {"max_attempts": 1},
        }],
    })
}

/// Why events of this world are dead letters.
async fn details(world: &World) -> Vec<String> {
    query_scalar("select detail from tasker.dead_letters order by detail")
        .fetch_all(&world.db.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_name_that_cannot_be_stored_is_one_that_nobody_has_declared() {
    let world = World::with(publishing(json!({"callable": "work"}))).await;
    world
        .worker(|w| {
            w.handler("work", async |ctx: StepContext| {
                ctx.publish("a\0b", json!(1));
                ctx.publish(&"long".repeat(1_000), json!(1));
                Ok(StepOutcome::success(1))
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    let details = details(&world).await;
    assert_eq!(details.len(), 2);
    assert!(details.iter().all(|why| why.contains("does not declare the event")), "{details:?}");
    let queued: i64 = query_scalar("select count(*) from pgmq.q_test_domain_events")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(queued, 1, "what it declares is announced all the same");
}

#[tokio::test]
async fn a_function_may_return_what_only_the_database_can_read() {
    let world =
        World::with(publishing(json!({"callable": "sql", "config": {"function": "public.huge"}})))
            .await;
    raw_sql(
        "create function huge(jsonb) returns jsonb language sql as $$ select (repeat('[', \
        200) || repeat(']', 200))::jsonb $$",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    world.worker(|w| w).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "complete");
    let details = details(&world).await;
    assert!(
        details.len() == 1 && details[0].contains("no payload that can be read"),
        "{details:?}"
    );
}
