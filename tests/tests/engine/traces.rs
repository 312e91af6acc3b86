//! What the database does for traces and correlation ids, and the spans of handlers.

use pgtasker_tests::{Collector, engine::Engine};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use std::process::Stdio;
use tokio::process::Command;
use uuid::Uuid;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NONE: [Uuid; 0] = [];

async fn enqueue_traced(e: &Engine, traceparent: &str) -> Uuid {
    sqlx::query_scalar("select tasker.enqueue_task('test', 'flow', p_traceparent => $1)")
        .bind(traceparent)
        .fetch_one(e.pool())
        .await
        .unwrap()
}

/// The headers of all messages of a queue.
async fn headers(e: &Engine, queue: &str) -> Vec<Value> {
    let sql = sqlx::AssertSqlSafe(format!("select headers from pgmq.q_{queue} order by msg_id"));
    sqlx::query_scalar(sql).fetch_all(e.pool()).await.unwrap()
}

#[tokio::test]
async fn a_traceparent_goes_along_in_the_headers_of_all_messages_of_its_task() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = enqueue_traced(&e, PARENT).await;
    let wanted = [json!({"correlation_id": id, "traceparent": PARENT})];
    assert_eq!(headers(&e, "orchestration_task_requests").await, wanted);
    e.initialize().await;
    assert_eq!(headers(&e, "worker_test_queue").await, wanted);
}

#[tokio::test]
async fn what_is_no_traceparent_is_dropped_and_the_task_starts() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let version = |text: &str| PARENT.replacen("00", text, 1);
    let cases = [
        (PARENT.to_owned(), Some(PARENT)),
        (format!("{}-more", version("01")), Some(PARENT)),
        (format!("{PARENT}-more"), None),
        (version("ff"), None),
        (PARENT.to_uppercase(), None),
        (PARENT.replace("b7ad6b7169203331", "0000000000000000"), None),
        (PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), None),
        (format!(" {PARENT}"), None),
        (format!("{PARENT}\n"), None),
        ("nonsense".to_owned(), None),
        (String::new(), None),
    ];
    for (given, kept) in cases {
        let id = enqueue_traced(&e, &given).await;
        let sql = "select traceparent from tasker.tasks where task_id = $1";
        let stored: Option<String> =
            sqlx::query_scalar(sql).bind(id).fetch_one(e.pool()).await.unwrap();
        assert_eq!(stored.as_deref(), kept, "{given:?}");
    }
}

#[tokio::test]
async fn a_claim_says_how_long_its_step_waited() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    e.start().await;
    e.clock(60).await;
    let claims = "select claim_no, extract(epoch from claimed_at - enqueued_at)::int as waited \
        from tasker.claim_steps('test', $1, 1)";
    let row = sqlx::query(claims).bind(e.worker).fetch_one(e.pool()).await.unwrap();
    assert!((59..=60).contains(&row.get::<i32, _>("waited")));
    // The step after it is claimed when it is sent.
    let id: Uuid =
        sqlx::query_scalar("select task_id from tasker.tasks").fetch_one(e.pool()).await.unwrap();
    let results =
        json!([{"task_id": id, "step": "a", "claim_no": 1, "outcome": {"type": "success"}}]);
    let complete = "select \
            status, \
            extract(epoch from (claim).claimed_at - (claim).enqueued_at)::int \
        from tasker.complete_steps($1, $2, 1, '{noop}') \
        order by 1";
    let rows: Vec<(String, Option<i32>)> =
        sqlx::query_as(complete).bind(e.worker).bind(results).fetch_all(e.pool()).await.unwrap();
    assert_eq!(rows, [("accepted".to_owned(), None), ("claimed".to_owned(), Some(0))]);
}

async fn ended(connection: &mut PgConnection, max: i32) -> Vec<Uuid> {
    sqlx::query_scalar("select task_id from tasker.ended_tasks($1)")
        .bind(max)
        .fetch_all(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn each_ended_task_is_handed_out_once_in_the_order_of_their_ends() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    // At each moment three at once, which is more than are asked for.
    for second in [0, 1] {
        e.clock(second).await;
        for _ in 0..3 {
            e.start().await;
        }
        e.drain().await;
    }
    let sql = "select task_id from tasker.tasks order by completed_at, task_id";
    let all: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(e.pool()).await.unwrap();
    let mut connection = e.pool().acquire().await.unwrap();
    assert_eq!(ended(&mut connection, 100).await, NONE, "what has only just ended");
    e.clock(30).await;
    // While one process reads, another gets nothing.
    let mut other = e.pool().acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(ended(&mut tx, 2).await, all[..2]);
    assert_eq!(ended(&mut other, 2).await, NONE);
    tx.commit().await.unwrap();
    let mut rest = Vec::new();
    loop {
        let some = ended(&mut other, 2).await;
        rest.extend(some.iter().copied());
        if some.len() < 2 {
            break;
        }
    }
    assert_eq!(rest, all[2..]);
    // One that ends later.
    let last = e.start().await;
    e.drain().await;
    e.clock(40).await;
    assert_eq!(ended(&mut other, 2).await, [last]);
    // What ended while nobody traced for long is left out.
    e.start().await;
    e.drain().await;
    e.clock(40 + 11 * 60).await;
    assert_eq!(ended(&mut other, 2).await, NONE);
}

#[tokio::test]
async fn a_task_begun_again_after_an_error_says_since_when() {
    let e = Engine::new().await;
    let mut flow = pgtasker_tests::engine::flow(&[("a", &[])]);
    (flow["on_failure"], flow["steps"][0]["retry"]["max_attempts"]) = (json!("fail"), json!(1));
    e.apply(flow).await;
    let id = e.start().await;
    e.fail(&e.claim(1).await[0]).await;
    e.process().await;
    e.clock(100).await;
    sqlx::query("select tasker.reset_task($1)").bind(id).execute(e.pool()).await.unwrap();
    e.enqueue_ready().await;
    e.clock(107).await;
    e.drain().await;
    e.clock(120).await;
    let sql = "select state::text, extract(epoch from completed_at - resumed_at)::int, error, \
        finalizing_at <= completed_at from tasker.ended_tasks(9)";
    let rows: Vec<(String, Option<i32>, Option<String>, bool)> =
        sqlx::query_as(sql).fetch_all(e.pool()).await.unwrap();
    assert_eq!(rows, [("complete".to_owned(), Some(7), None, true)]);
}

/// Rows of the large tables read from end to end, in this transaction.
async fn sequential_reads(connection: &mut PgConnection) -> i64 {
    let sql = "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_xact_user_tables
                where schemaname = 'tasker' and relname in ('steps', 'tasks', 'step_transitions', \
                'task_transitions')";
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn ended_tasks_and_transitions_are_found_by_index_among_very_many() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    e.clock(0).await;
    let mut tx = e.pool().begin().await.unwrap();
    for sql in [
        "alter table tasker.tasks disable trigger refuse_start",
        "insert into tasker.tasks (task_id, template_id, namespace, name, state, correlation_id, \
         context, created_at, updated_at, completed_at)
         select md5(n::text)::uuid, t.template_id, t.namespace, t.name, 'complete', \
         md5(n::text)::uuid, '{}', o.at, o.at, o.at
           from generate_series(1, 300000) n, tasker.templates t, lateral (select tasker.now() - \
           n * interval '1 s' as at) o",
        "insert into tasker.step_transitions (task_id, name, from_state, to_state, attempt, at)
         select md5(n::text)::uuid, 'a', 'pending', 'enqueued', 0, now() from generate_series(1, \
         300000) n",
        "insert into tasker.task_transitions (task_id, from_state, to_state, at)
         select md5(n::text)::uuid, 'pending', 'initializing', now() from generate_series(1, \
         300000) n",
        "alter table tasker.tasks enable always trigger refuse_start",
    ] {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    for analyzed in [false, true] {
        if analyzed {
            sqlx::query("analyze tasker.tasks, tasker.step_transitions, tasker.task_transitions")
                .execute(e.pool())
                .await
                .unwrap();
            sqlx::query("update tasker.sweeps set upto = null, after = null")
                .execute(e.pool())
                .await
                .unwrap();
        }
        let mut tx = e.pool().begin().await.unwrap();
        // All of ten minutes, but for the last five seconds.
        let found = ended(&mut tx, 1000).await.len();
        assert_eq!(found, 596);
        let hops: i64 =
            sqlx::query_scalar("select count(*) from tasker.transitions where task_id = $1")
                .bind(id)
                .fetch_one(&mut *tx)
                .await
                .unwrap();
        assert_eq!(hops, 4);
        // In a view the planner chooses by what it knows.
        if analyzed {
            let hops: i64 = sqlx::query_scalar(
                "select count(*) from tasker.transitions where correlation_id = $1",
            )
            .bind(id)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
            assert_eq!(hops, 4);
        }
        let read = sequential_reads(&mut tx).await;
        assert!(read < 5_000, "analyzed {analyzed}: {read} rows read by sequential scans");
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn every_transition_has_the_correlation_id_of_its_task() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let correlation = Uuid::new_v4();
    let sql = "select tasker.enqueue_task('test', 'flow', p_correlation_id => $1)";
    let id: Uuid = sqlx::query_scalar(sql).bind(correlation).fetch_one(e.pool()).await.unwrap();
    e.initialize().await;
    e.drain().await;
    let own = e.enqueue(json!({})).await;
    e.initialize().await;
    let hops = |id| {
        sqlx::query_as::<_, (Option<String>, String, Option<i32>, Uuid)>(
            "select step, to_state, attempt, correlation_id from tasker.transitions where task_id \
             = $1 order by at, step nulls first",
        )
        .bind(id)
        .fetch_all(e.pool())
    };
    let all = hops(id).await.unwrap();
    assert!(all.iter().all(|hop| hop.3 == correlation), "{all:?}");
    let of_step: Vec<_> =
        all.iter().filter(|hop| hop.0.as_deref() == Some("a")).map(|hop| hop.1.as_str()).collect();
    assert_eq!(of_step, ["enqueued", "in_progress", "enqueued_for_orchestration", "complete"]);
    let of_task: Vec<_> = all.iter().filter(|hop| hop.0.is_none()).collect();
    assert!(of_task.len() >= 4 && of_task.iter().all(|hop| hop.2.is_none()), "{all:?}");
    // Made at the enqueue where the caller has none.
    assert!(hops(own).await.unwrap().iter().all(|hop| hop.3 == own));
}

#[tokio::test]
async fn spans_of_a_handler_are_below_its_step_and_tasks_enqueued_in_them_below_them() {
    let (e, collector) = (Engine::new().await, Collector::start().await);
    let mut outer = pgtasker_tests::engine::flow(&[("a", &[])]);
    (outer["name"], outer["steps"][0]["handler"]) = (json!("outer"), json!({"callable": "nested"}));
    let mut inner = pgtasker_tests::engine::flow(&[("b", &[])]);
    inner["name"] = json!("diamond");
    e.apply(outer).await;
    e.apply(inner).await;
    let id: Uuid = sqlx::query_scalar("select tasker.enqueue_task('test', 'outer')")
        .fetch_one(e.pool())
        .await
        .unwrap();
    let mut engine = Command::new(env!("CARGO_BIN_EXE_engine"));
    engine.env("DATABASE_URL", &e.db.url).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    engine.env("OTEL_BSP_SCHEDULE_DELAY", "100").env_remove("TASKER_FAILPOINT");
    let _engine =
        engine.kill_on_drop(true).stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();

    let spans = collector.trace(&id.simple().to_string(), "task test.diamond").await;
    let find = |name: &str| {
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let (step, own) = (find("step a"), find("enqueue another"));
    assert_eq!((&own.parent_id, own.attributes["n"].as_str()), (&step.span_id, "7"));
    assert_eq!(own.events, ["an event of the span"]);
    assert_eq!(step.parent_id, find("task test.outer").span_id);
    assert_eq!(step.attributes["outcome"], "submitted");
    let diamond = find("task test.diamond");
    assert_eq!(diamond.parent_id, own.span_id);
    assert_eq!(find("step b").parent_id, diamond.span_id);
    // The handler was told its own span.
    let told = e.text("select result #>> '{}' from tasker.steps where task_id = $1", id).await;
    assert_eq!(told, format!("00-{}-{}-01", step.trace_id, step.span_id));
}
