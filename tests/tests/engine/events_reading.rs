//! Reading and finishing events by SQL: the two functions of consumers, and plain pgmq calls as
//! docs/events.md shows them.

use crate::events_consumer::{QUEUE, publish, shop, show_all};
use pgtasker_tests::engine::{Engine, sqlstate};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgExecutor, PgPool, query, query_scalar, raw_sql,
};
use std::path::Path;

async fn read(executor: impl PgExecutor<'_>, max: i32) -> Vec<(i64, i32, Value)> {
    sqlx::query_as("select msg_id, read_ct, event from tasker.read_events('test', $1)")
        .bind(max)
        .fetch_all(executor)
        .await
        .unwrap()
}

async fn finish(pool: &PgPool, done: &[i64], failed: Value) {
    query("select tasker.finish_events('test', $1, $2)")
        .bind(done)
        .bind(failed)
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn two_consumers_at_the_same_time_read_different_events() {
    let e = shop().await;
    publish(&e, 0..10).await;
    // Neither has committed while the other reads.
    let (mut one, mut other) = (e.pool().begin().await.unwrap(), e.pool().begin().await.unwrap());
    let (mut first, second) = (read(&mut *one, 6).await, read(&mut *other, 6).await);
    assert_eq!((first.len(), second.len()), (6, 4));
    one.commit().await.unwrap();
    other.commit().await.unwrap();
    first.extend(second);
    let mut payloads: Vec<i64> =
        first.iter().map(|(_, _, event)| event["payload"]["n"].as_i64().unwrap()).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, (0..10).collect::<Vec<_>>());
    assert!(first.iter().all(|(_, read_ct, _)| *read_ct == 1));
    assert_eq!(read(e.pool(), 10).await, [], "nothing is visible");
}

#[tokio::test]
async fn what_a_consumer_died_with_is_read_again_when_its_visibility_has_ended() {
    let e = shop().await;
    publish(&e, [1]).await;
    let (msg_id, _, event) = read(e.pool(), 10).await.remove(0);
    assert_eq!(read(e.pool(), 10).await, []);
    show_all(e.pool()).await;
    assert_eq!(read(e.pool(), 10).await, [(msg_id, 2, event)]);
}

#[tokio::test]
async fn one_call_says_what_came_of_all() {
    let e = shop().await;
    publish(&e, 0..5).await;
    let ids: Vec<i64> = read(e.pool(), 10).await.into_iter().map(|(msg_id, _, _)| msg_id).collect();
    let failed = json!([
        {"msg_id": ids[2], "delay_ms": 0},
        {"msg_id": ids[3], "delay_ms": 90_001, "error": "busy"},
        {"msg_id": ids[4], "dead": true, "error": "no such order"},
    ]);
    finish(e.pool(), &ids[..2], failed.clone()).await;
    let left: Vec<(i64, i64)> = sqlx::query_as(
        "select msg_id, greatest(ceil(extract(epoch from vt - clock_timestamp())), 0)::int8 from \
         pgmq.q_test_domain_events order by msg_id",
    )
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!((left[0], left[1].0, left.len()), ((ids[2], 0), ids[3], 2));
    assert!((80..=91).contains(&left[1].1), "{left:?}");
    let dead = async || -> Vec<(String, String, i64, String)> {
        sqlx::query_as("select reason, queue, msg_id, detail from tasker.dead_letters")
            .fetch_all(e.pool())
            .await
            .unwrap()
    };
    let entry = ("bad_message".to_owned(), QUEUE.to_owned(), ids[4], "no such order".to_owned());
    assert_eq!(dead().await, [entry]);
    // Once more, as by somebody who was late: what is gone stays so.
    finish(e.pool(), &ids[..2], failed).await;
    assert_eq!((e.depth(QUEUE).await, dead().await.len()), (2, 1));
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_says_what_to_do() {
    let e = Engine::new().await;
    for call in
        ["select tasker.read_events('nowhere', 1)", "select tasker.finish_events('nowhere', '{}')"]
    {
        assert_eq!(sqlstate(e.pool(), call).await, "TK001", "{call}");
    }
    e.apply_flow(&[("a", &[])]).await;
    assert_eq!(sqlstate(e.pool(), "select tasker.read_events('test', 1)").await, "TK050");
    // Nothing is there that could be finished.
    finish(e.pool(), &[1], json!([{"msg_id": 2}])).await;
    for (call, code) in [
        ("select tasker.read_events('test', 0)", "TK008"),
        ("select tasker.read_events('test', 1, '0 s')", "TK007"),
        ("select tasker.finish_events('test', '{}', '{}')", "TK051"),
        ("select tasker.finish_events('test', '{}', '[1]')", "TK051"),
        ("select tasker.finish_events('test', '{}', '[{}]')", "TK051"),
        ("select tasker.finish_events('test', '{}', '[{\"msg_id\": \"1\"}]')", "TK051"),
        (
            "select tasker.finish_events('test', '{}', '[{\"msg_id\": 1, \"delay_ms\": \"x\"}]')",
            "TK051",
        ),
        ("select tasker.finish_events('test', '{}', '[{\"msg_id\": 1, \"dead\": 1}]')", "TK051"),
    ] {
        assert_eq!(sqlstate(e.pool(), call).await, code, "{call}");
    }
}

/// A block of code of the documentation, by the text that it has in it.
fn from_the_docs(text: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    let page = std::fs::read_to_string(file).unwrap();
    let blocks = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<&str> = blocks.filter(|block| block.contains(text)).collect();
    assert_eq!(found.len(), 1, "{text}");
    found[0].to_owned()
}

/// The documentation's namespace is orders.
async fn orders() -> Engine {
    let e = Engine::new().await;
    e.apply(json!({
        "namespace": "orders",
        "name": "fulfil",
        "version": "1",
        "steps": [{
            "name": "pay",
            "handler": {"callable": "noop"},
            "publishes_events": [
                {"name": "payment.processed"},
                {"name": "payment.delayed", "condition": "always"},
            ],
        }],
    }))
    .await;
    e
}

#[tokio::test]
async fn the_statement_of_the_docs_consumes_with_the_grants_of_the_docs() {
    let e = orders().await;
    raw_sql(
        "select tasker.enqueue_task('orders', 'fulfil'), tasker.enqueue_task('orders', \
        'fulfil'); select tasker.start_tasks(10)",
    )
    .execute(e.pool())
    .await
    .unwrap();
    query(
        "select tasker.complete_steps(gen_random_uuid(), (select jsonb_agg(jsonb_build_object(
             'task_id', c.task_id, 'step', c.step, 'claim_no', c.claim_no, 'outcome', \
             '{\"type\": \"success\"}'::jsonb,
             'events', '[{\"name\": \"payment.processed\", \"payload\": {\"amount\": 9.5}}, \
             {\"name\": \"payment.delayed\"}]'::jsonb))
           from tasker.claim_steps('orders', gen_random_uuid(), 10) c))",
    )
    .execute(e.pool())
    .await
    .unwrap();
    assert_eq!(e.depth("orders_domain_events").await, 4);
    let (name, url) = e.db.login(&[]).await;
    let grants = from_the_docs("grant usage on schema pgmq").replace("reporting", &name);
    raw_sql(AssertSqlSafe(format!("{grants}; grant create on schema public to {name}")))
        .execute(e.pool())
        .await
        .unwrap();
    let lines = from_the_docs("pgmq.read('orders_domain_events'");
    let mut outside = PgConnection::connect(&url).await.unwrap();
    for _ in 0..2 {
        raw_sql(AssertSqlSafe(lines.clone())).execute(&mut outside).await.unwrap();
        let paid: String =
            query_scalar("select format('%s of %s', count(*), sum(amount)) from payments")
                .fetch_one(&mut outside)
                .await
                .unwrap();
        assert_eq!((paid.as_str(), e.depth("orders_domain_events").await), ("2 of 19.0", 0));
    }
}

/// Effect and deletion are one: neither takes place without the other.
#[tokio::test]
async fn the_statement_rolled_back_leaves_the_events_to_others() {
    let e = orders().await;
    let event =
        json!({"id": uuid::Uuid::now_v7(), "name": "payment.processed", "payload": {"amount": 1}});
    query("select pgmq.send('orders_domain_events', $1)")
        .bind(event)
        .execute(e.pool())
        .await
        .unwrap();
    let mut transaction = e.pool().begin().await.unwrap();
    let lines = from_the_docs("pgmq.read('orders_domain_events'");
    raw_sql(AssertSqlSafe(lines)).execute(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    let visible: i64 = query_scalar("select count(*) from tasker.read_events('orders', 10)")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(visible, 1);
}
