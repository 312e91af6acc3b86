//! Looking at domain events: `tasker.list_events` shows what waits, what is claimed, and what was
//! archived, and changes nothing.

use pgtasker_queues::metrics::refresh_queue_gauges;
use pgtasker_tests::engine::{Engine, flow, publishing_flow, sqlstate};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

const QUEUE: &str = "test_domain_events";

async fn world() -> Engine {
    let e = Engine::new().await;
    e.apply(publishing_flow(&["payment.processed"])).await;
    e
}

/// A task whose step announces these payloads.
async fn announce(e: &Engine, payloads: &[Value]) -> Uuid {
    let id = e.start().await;
    let claim = e.claim(1).await.remove(0);
    let events: Vec<Value> = payloads
        .iter()
        .map(|payload| json!({"name": "payment.processed", "payload": payload}))
        .collect();
    assert_eq!(e.announce(&claim, json!(events)).await, "accepted");
    id
}

/// The numbers of the messages, and the payloads.
async fn list(e: &Engine, after: Option<i64>, max: i32) -> Vec<(i64, Value)> {
    sqlx::query_as("select msg_id, event -> 'payload' from tasker.list_events('test', $1, $2)")
        .bind(after)
        .bind(max)
        .fetch_all(e.pool())
        .await
        .unwrap()
}

async fn run(e: &Engine, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(e.pool()).await.unwrap();
}

#[tokio::test]
async fn the_newest_are_shown_in_their_order_and_after_a_message_what_came_next() {
    let e = world().await;
    assert_eq!(list(&e, None, 10).await, []);
    let id = announce(&e, &[json!(1), json!({"n": 2}), json!(3)]).await;
    announce(&e, &[json!(4)]).await;
    let all = list(&e, None, 10).await;
    assert_eq!(
        all.iter().map(|(_, payload)| payload.clone()).collect::<Vec<_>>(),
        [json!(1), json!({"n": 2}), json!(3), json!(4)]
    );
    assert_eq!(list(&e, None, 2).await, all[2..]);
    assert_eq!(list(&e, Some(0), 2).await, all[..2]);
    assert_eq!(list(&e, Some(all[1].0), 10).await, all[2..]);
    assert_eq!(list(&e, Some(all[3].0), 10).await, []);
    let row = sqlx::query(
        "select event, read_ct, enqueued_at > now() - interval '1 min' from \
         tasker.list_events('test')",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    let event: pgtasker_core::DomainEvent = serde_json::from_value(row.get(0)).unwrap();
    assert_eq!(
        (event.task_id, event.name.as_str(), event.step.as_str()),
        (id, "payment.processed", "pay")
    );
    assert_eq!((row.get::<i32, _>(1), row.get::<bool, _>(2)), (0, true));
}

#[tokio::test]
async fn looking_consumes_and_hides_nothing() {
    let e = world().await;
    announce(&e, &[json!(1), json!(2)]).await;
    let seen = list(&e, None, 10).await;
    let (visible, read): (i64, i64) = sqlx::query_as(
        "select count(*), sum(read_ct)::bigint from pgmq.q_test_domain_events where vt <= \
         clock_timestamp()",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((seen.len(), visible, read), (2, 2, 0));
}

#[tokio::test]
async fn what_a_consumer_has_claimed_or_archived_is_seen_and_what_it_has_deleted_is_not() {
    let e = world().await;
    announce(&e, &[json!(1), json!(2), json!(3), json!(4)]).await;
    let all = list(&e, None, 10).await;
    run(&e, format!("select pgmq.read('{QUEUE}', 600, 3)")).await;
    run(&e, format!("select pgmq.archive('{QUEUE}', {}::bigint)", all[0].0)).await;
    run(&e, format!("select pgmq.delete('{QUEUE}', {}::bigint)", all[1].0)).await;
    assert_eq!(list(&e, None, 10).await, [all[0].clone(), all[2].clone(), all[3].clone()]);
    // From both tables, each with its own limit.
    assert_eq!(list(&e, None, 2).await, all[2..]);
    assert_eq!(list(&e, Some(0), 2).await, [all[0].clone(), all[2].clone()]);
    let reads: Vec<i32> = sqlx::query_scalar("select read_ct from tasker.list_events('test')")
        .fetch_all(e.pool())
        .await
        .unwrap();
    assert_eq!(reads, [1, 1, 0]);
}

#[tokio::test]
async fn a_namespace_without_durable_events_has_none_and_one_that_is_not_there_is_refused() {
    let e = Engine::new().await;
    e.apply(flow(&[("only", &[])])).await;
    assert_eq!(list(&e, None, 10).await, []);
    let code = async |sql| sqlstate(e.pool(), sql).await;
    assert_eq!(code("select tasker.list_events('nowhere')").await, "TK001");
    assert_eq!(code("select tasker.list_events(null)").await, "TK001");
    assert_eq!(code("select tasker.list_events('test', null, 0)").await, "TK008");
    assert_eq!(code("select tasker.list_events('test', null, null)").await, "TK008");
    // A message after which there can be none.
    let mut template = publishing_flow(&["a"]);
    template["version"] = json!("2");
    e.apply(template).await;
    assert_eq!(list(&e, Some(i64::MAX), 10).await, []);
    assert_eq!(list(&e, Some(-5), 10).await, []);
}

/// Rows that one call reads in the queue and in its archive, whatever they hold.
#[tokio::test]
async fn a_look_reads_by_the_primary_key_only() {
    let e = world().await;
    // Without statistics, as a queue that has just filled.
    run(
        &e,
        format!(
            "insert into pgmq.q_{QUEUE} (vt, message) select now(), '{{\"payload\": 1}}' from \
             generate_series(1, 100000);
             insert into pgmq.a_{QUEUE} (msg_id, read_ct, enqueued_at, vt, message)
               select n, 1, now(), now(), '{{\"payload\": 2}}' from generate_series(100001, \
               200000) n"
        ),
    )
    .await;
    for analyzed in [false, true] {
        if analyzed {
            run(&e, format!("analyze pgmq.q_{QUEUE}, pgmq.a_{QUEUE}")).await;
        }
        for (after, first) in
            [(None, 199_901), (Some(5), 6), (Some(99_990), 99_991), (Some(199_999), 200_000)]
        {
            let mut tx = e.pool().begin().await.unwrap();
            let before = rows_read(&mut tx).await;
            let found: i64 =
                sqlx::query_scalar("select min(msg_id) from tasker.list_events('test', $1, 100)")
                    .bind(after)
                    .fetch_one(&mut *tx)
                    .await
                    .unwrap();
            assert_eq!(found, first);
            let read = rows_read(&mut tx).await - before;
            assert!((1..=400).contains(&read), "after {after:?}: {read} rows read");
        }
    }
}

async fn rows_read(connection: &mut sqlx::PgConnection) -> i64 {
    sqlx::query_scalar(
        "select sum(seq_tup_read + idx_tup_fetch)::bigint from pg_stat_xact_user_tables
          where schemaname = 'pgmq' and relname in ('q_test_domain_events', \
          'a_test_domain_events')",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

/// What operators and Grafana look at.
#[tokio::test]
async fn a_queue_of_events_is_listed_with_its_depth_and_age() {
    let e = world().await;
    announce(&e, &[json!(1), json!(2)]).await;
    run(&e, format!("update pgmq.q_{QUEUE} set enqueued_at = now() - interval '10 min'")).await;
    let (kind, namespace, depth, age): (String, String, i64, f64) = sqlx::query_as(
        "select kind, namespace, depth, oldest_age_seconds::float8 from tasker.queue_overview \
         where queue = 'test_domain_events'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((kind.as_str(), namespace.as_str(), depth), ("events", "test", 2));
    assert!((600.0..700.0).contains(&age), "{age}");
    let gauges = refresh_queue_gauges(e.pool()).await.unwrap();
    let gauge = gauges.into_iter().find(|gauge| gauge.queue == QUEUE).unwrap();
    assert_eq!((gauge.depth, gauge.visible, gauge.held, gauge.paused), (2, 2, 0, false));
    assert!(gauge.oldest_age_seconds.unwrap() >= 600.0);
    // The orchestrator reads them in its own role.
    let (_, url) = e.db.login(&["tasker_orchestrator"]).await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    assert_eq!(refresh_queue_gauges(&pool).await.unwrap().len(), 4);
}
