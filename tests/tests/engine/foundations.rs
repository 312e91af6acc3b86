//! What the engine stands on: ids, the clock, roles, queues' names, notifications, and how its
//! tables and functions are made.

use pgtasker_tests::{
    TestDb,
    engine::{Engine, sqlstate},
};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, postgres::PgListener, query, query_as, query_scalar};
use std::time::Duration;
use uuid::{Uuid, Variant};

#[tokio::test]
async fn ids_are_version_7_in_the_order_in_which_they_were_made() {
    let db = TestDb::new().await;
    let before = chrono::Utc::now().timestamp_millis();
    let ids: Vec<Uuid> = query_scalar("select tasker.new_id() from generate_series(1, 10000)")
        .fetch_all(&db.pool)
        .await
        .unwrap();
    let after = chrono::Utc::now().timestamp_millis();
    assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == Variant::RFC4122));
    for id in [ids[0], ids[9_999]] {
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        let millis = i64::try_from(seconds * 1_000 + u64::from(nanos) / 1_000_000).unwrap();
        assert!((before - 1..=after + 1).contains(&millis), "{before} {millis} {after}");
    }
    // Two within one microsecond may change places.
    let out_of_order = ids.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    assert!(out_of_order < 50, "{out_of_order} of 10,000 neighbours");
    // Spread over milliseconds, of which each has many: the order within one comes from more than
    // its time.
    let milliseconds =
        ids.iter().map(|id| &id.as_bytes()[..6]).collect::<std::collections::BTreeSet<_>>().len();
    assert!(milliseconds < 5_000, "{milliseconds}");
}

#[tokio::test]
async fn only_the_schemas_owner_sets_the_clock() {
    let db = TestDb::new().await;
    let mut connection = db.pool.acquire().await.unwrap();
    for role in [
        "tasker_client",
        "tasker_worker",
        "tasker_orchestrator",
        "tasker_consumer",
        "tasker_operator",
        "tasker_readonly",
    ] {
        let mut tx = sqlx::Connection::begin(&mut *connection).await.unwrap();
        query(AssertSqlSafe(format!("set local role {role}"))).execute(&mut *tx).await.unwrap();
        let refused =
            query("select tasker.set_clock('2000-01-01')").execute(&mut *tx).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{role}");
    }
    query("select tasker.set_clock('2000-01-01')").execute(&mut *connection).await.unwrap();
    let year: f64 = query_scalar("select extract(year from tasker.now())::float8")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!((year - 2000.0).abs() < 0.5, "for everyone: {year}");
}

/// One role after the other does its part, without rights on a table of the engine or of pgmq, and
/// with a search_path that offers something else for every name.
#[tokio::test]
async fn each_role_does_its_part_by_functions_alone_under_any_search_path() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    query("create schema evil").execute(e.pool()).await.unwrap();
    for shadow in [
        "create function evil.clock_timestamp() returns timestamptz language sql as 'select \
         null::timestamptz'",
        "create function evil.cardinality(anyarray) returns int language sql as 'select 0'",
        "create table evil.steps (x int)",
        "grant usage on schema evil to public",
    ] {
        query(shadow).execute(e.pool()).await.unwrap();
    }
    let mut c = e.pool().acquire().await.unwrap();
    query("set search_path = evil, pg_catalog").execute(&mut *c).await.unwrap();
    let id: Uuid =
        as_role(&mut c, "tasker_client", "select tasker.enqueue_task('test', 'flow')").await;
    let _: i32 =
        as_role(&mut c, "tasker_orchestrator", "select taken from tasker.start_tasks(10)").await;
    let submits = ["submit_results", "complete_steps"];
    for (step, submit) in ["a", "b"].into_iter().zip(submits) {
        let claim = "select to_jsonb(c) from tasker.claim_steps('test', gen_random_uuid(), 10) c";
        let claim: Value = as_role(&mut c, "tasker_worker", claim).await;
        assert_eq!(claim["step"], step);
        let results = json!([{
            "task_id": id,
            "step": step,
            "claim_no": 1,
            "outcome": {"type": "success", "result": step},
        }]);
        let submit = format!("select status from tasker.{submit}(gen_random_uuid(), '{results}')");
        let status: String = as_role(&mut c, "tasker_worker", &submit).await;
        assert_eq!(status, "accepted");
        let process = "select processed from tasker.process_step_results(10)";
        let _: i32 = as_role(&mut c, "tasker_orchestrator", process).await;
    }
    let result: Value =
        as_role(&mut c, "tasker_client", &format!("select tasker.task_result('{id}')")).await;
    assert_eq!(result, json!({"b": "b"}));
}

async fn as_role<T>(connection: &mut PgConnection, role: &str, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    query(AssertSqlSafe(format!("set role {role}"))).execute(&mut *connection).await.unwrap();
    let value = query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut *connection).await;
    query("reset role").execute(&mut *connection).await.unwrap();
    value.unwrap_or_else(|e| panic!("{role}: {sql}: {e}"))
}

#[rstest]
#[case("tasker_worker", "select from tasker.steps")]
#[case("tasker_worker", "select from pgmq.q_orchestration_step_results")]
#[case("tasker_worker", "select tasker.enqueue_task('test', 'flow')")]
#[case("tasker_worker", "select tasker.settle_steps('{}', '{}', '{}', now())")]
#[case("tasker_client", "select tasker.claim_steps('test', gen_random_uuid(), 1)")]
#[case("tasker_orchestrator", "update tasker.tasks set priority = 1")]
#[case("tasker_readonly", "select tasker.cancel_task(gen_random_uuid())")]
#[case("tasker_operator", "delete from tasker.step_transitions")]
#[tokio::test]
async fn no_role_does_more_than_its_part(#[case] role: &str, #[case] sql: &str) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut c = e.pool().acquire().await.unwrap();
    query(AssertSqlSafe(format!("set role {role}"))).execute(&mut *c).await.unwrap();
    let refused = query(AssertSqlSafe(sql.to_owned())).execute(&mut *c).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{refused}");
    query("reset role").execute(&mut *c).await.unwrap();
}

#[tokio::test]
async fn a_namespace_leaves_room_for_all_of_its_queues_names() {
    let e = Engine::new().await;
    let apply = |length: usize| {
        let name = "n".repeat(length);
        json!({"namespace": name, "name": "flow", "version": "1", "steps": []})
    };
    e.apply(apply(33)).await;
    query("select pgmq.create($1)")
        .bind("n".repeat(33) + "_domain_events")
        .execute(e.pool())
        .await
        .unwrap();
    let refused = query("select tasker.apply_template($1)")
        .bind(apply(34))
        .execute(e.pool())
        .await
        .unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "TK010", "{refused}");
}

/// Notifications make commits wait for each other: one for each queue and batch, and none where the
/// client says so.
#[tokio::test]
async fn a_batch_notifies_once_and_a_client_may_leave_it_out() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut listener = PgListener::connect_with(e.pool()).await.unwrap();
    let queues = [
        "tasker_orchestration_task_requests",
        "tasker_worker_test_queue",
        "tasker_orchestration_step_results",
    ];
    listener.listen_all(queues).await.unwrap();
    query("select tasker.enqueue_task('test', 'flow', p_notify => false)")
        .execute(e.pool())
        .await
        .unwrap();
    query("select tasker.enqueue_tasks('test', 'flow', array_fill('{}'::jsonb, array[20]))")
        .execute(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    query(
        "select tasker.submit_results(gen_random_uuid(), (select jsonb_agg(to_jsonb(c) || \
         '{\"outcome\": {\"type\": \"success\"}}') from tasker.claim_steps('test', \
         gen_random_uuid(), 30) c))",
    )
    .execute(e.pool())
    .await
    .unwrap();
    query("select pg_notify($1, 'end')").bind(queues[0]).execute(e.pool()).await.unwrap();
    let mut heard = Vec::new();
    loop {
        let next =
            tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.unwrap().unwrap();
        if next.payload() == "end" {
            break;
        }
        heard.push(next.channel().to_owned());
    }
    assert_eq!(heard, queues);
}

/// An index on one of these, or a predicate, would make every move of a step write to indexes.
#[tokio::test]
async fn no_index_of_steps_names_what_changes_at_every_move() {
    let db = TestDb::new().await;
    let indexes: Vec<String> = query_scalar(
        "select indexdef from pg_indexes where schemaname = 'tasker' and tablename = 'steps'",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(!indexes.is_empty());
    for column in ["state", "waiting_on", "attempt", "updated_at", "claim_no", "msg_id"] {
        assert!(indexes.iter().all(|index| !index.contains(column)), "{column}: {indexes:?}");
    }
    let options: Vec<String> = query_scalar(
        "select unnest(reloptions) from pg_class where oid = 'tasker.steps'::regclass",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(options.contains(&"fillfactor=50".to_owned()), "{options:?}");
}

/// Partitions can be updated by their own names, and a trigger that is not `always` is skipped by a
/// replica.
#[tokio::test]
async fn the_audited_tables_are_whole_and_their_triggers_fire_always() {
    let db = TestDb::new().await;
    let (tables, parts): (i64, i64) = query_as(
        "select \
             count(*) filter (where relkind = 'r'), \
             (select count(*) from pg_inherits where inhparent = any (array_agg(c.oid))) \
         from pg_class c \
         where c.oid in ( \
             'tasker.tasks'::regclass, \
             'tasker.steps'::regclass, \
             'tasker.task_transitions'::regclass, \
             'tasker.step_transitions'::regclass \
         )",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!((tables, parts), (4, 0));
    let sometimes: Vec<String> = query_scalar(
        "select tgrelid::regclass || '.' || tgname \
         from pg_trigger t \
         join pg_class c on c.oid = tgrelid \
         where c.relnamespace = 'tasker'::regnamespace \
           and not tgisinternal \
           and tgenabled <> 'A'",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(sometimes.is_empty(), "{sometimes:?}");
}

/// pgmq's inner query takes a newer snapshot than the statement around it: a step enqueued in
/// between would still look pending to that one.
#[tokio::test]
async fn no_statement_reads_a_queue_and_touches_state() {
    let db = TestDb::new().await;
    let functions: Vec<(String, String)> = query_as(
        "select oid::regprocedure::text, prosrc from pg_proc where pronamespace = \
         'tasker'::regnamespace",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    let reads =
        |statement: &str| ["pgmq.read(", "pgmq.pop("].iter().any(|call| statement.contains(call));
    let state = |statement: &str| {
        ["tasker.steps", "tasker.tasks"].iter().any(|table| statement.contains(table))
    };
    let statements =
        || functions.iter().flat_map(|(name, source)| source.split(';').map(move |s| (name, s)));
    assert!(
        statements().filter(|(_, statement)| reads(statement)).count() >= 3,
        "claims, requests, results"
    );
    let both: Vec<_> =
        statements().filter(|(_, s)| reads(s) && state(s)).map(|(name, _)| name).collect();
    assert!(both.is_empty(), "{both:?}");
}

#[rstest]
#[case("select tasker.derive_task_state(3, 1, 1, 1, 1, false)::text", "steps_in_process")]
#[case("select tasker.derive_task_state(3, 0, 1, 1, 1, false)::text", "waiting_for_dependencies")]
#[case("select tasker.derive_task_state(3, 0, 0, 1, 1, false)::text", "waiting_for_retry")]
#[case("select tasker.derive_task_state(3, 0, 0, 0, 1, false)::text", "blocked_by_failures")]
#[case("select tasker.derive_task_state(0, 0, 0, 0, 0, false)::text", "complete")]
#[case("select tasker.derive_task_state(3, 1, 1, 1, 1, true)::text", "error")]
#[tokio::test]
async fn the_state_of_a_task_follows_from_its_counters(
    #[case] sql: &'static str,
    #[case] state: &str,
) {
    let db = TestDb::new().await;
    let derived: String = query_scalar(sql).fetch_one(&db.pool).await.unwrap();
    assert_eq!(derived, state);
    assert_eq!(
        sqlstate(&db.pool, "select tasker.derive_task_state(1, 0, 0, 0, 0, false)").await,
        "TK099"
    );
}
