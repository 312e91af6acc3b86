//! The database roles: each login may do the part of its role and nothing else.

use crate::roles_rights;
use pgtasker_tests::TestDb;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, query, query_scalar, raw_sql};
use uuid::Uuid;

const ROLES: [&str; 6] = [
    "tasker_client",
    "tasker_worker",
    "tasker_orchestrator",
    "tasker_consumer",
    "tasker_operator",
    "tasker_readonly",
];

/// With the queues of one namespace, which a template brings.
pub(crate) async fn with_queue() -> TestDb {
    let db = TestDb::new().await;
    query("select tasker.apply_template($1)")
        .bind(template(json!({"function": "x"})))
        .execute(&db.pool)
        .await
        .unwrap();
    db
}

pub(crate) async fn run(db: &TestDb, sql: impl Into<String>) {
    raw_sql(AssertSqlSafe(sql.into())).execute(&db.pool).await.unwrap();
}

/// A template `test.flow` of one step of the `sql` handler.
pub(crate) fn template(config: Value) -> Value {
    json!({"namespace": "test", "name": "flow", "version": "1",
           "steps": [{"name": "only", "handler": {"callable": "sql", "config": config},
                      "retry": {"max_attempts": 2, "backoff_base_ms": 0, "jitter": false}}]})
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn refused(connection: &mut PgConnection, sql: &str) {
    let error = raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.expect_err(sql);
    let error = error.as_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("42501"), "{sql}: {error}");
}

/// Forbidden to all roles, and to those who are in none.
const NEVER: &[&str] = &[
    "insert into tasker.sweeps (name) values ('x')",
    "update tasker.tasks set priority = 1",
    "update tasker.settings set retention_days = 1",
    "delete from tasker.step_transitions",
    "truncate tasker.steps",
    "select nextval('tasker.template_applied_no')",
    "select tasker.set_clock('2000-01-01')",
    "select tasker.set_actor(gen_random_uuid())",
    "select tasker.settle_steps('{}', '{}', '{}', now())",
    "select tasker.prune_tasks(1, now())",
    "create or replace function tasker.clock() returns timestamptz language sql as 'select now()'",
    "create table tasker.mine (x int)",
    "alter table tasker.steps disable trigger all",
    "drop view tasker.task_overview",
    "select * from pgmq.read('worker_test_queue', 30, 1)",
    "select pgmq.send('worker_test_queue', '{}')",
    "select pgmq.drop_queue('worker_test_queue')",
    "select from pgmq.q_worker_test_queue",
];
/// Each is for one role, or two, and forbidden to the others.
const SOMETIMES: &[(&str, &[&str])] = &[
    ("select from tasker.tasks", &["tasker_operator", "tasker_readonly"]),
    ("select from tasker.task_overview", &["tasker_operator", "tasker_readonly"]),
    (
        "select from tasker.queue_overview",
        &["tasker_operator", "tasker_readonly", "tasker_orchestrator"],
    ),
    ("select tasker.enqueue_task('test', 'flow')", &["tasker_client", "tasker_operator"]),
    (
        "select tasker.cancel_task((select gen_random_uuid() where false))",
        &["tasker_client", "tasker_operator"],
    ),
    ("select tasker.claim_steps('test', gen_random_uuid(), 1)", &["tasker_worker"]),
    ("select tasker.submit_results(gen_random_uuid(), '[]')", &["tasker_worker"]),
    ("select tasker.heartbeat(gen_random_uuid(), '{test}', '{}')", &["tasker_worker"]),
    ("select tasker.run_sql_handler('x', '{}')", &["tasker_worker"]),
    ("select tasker.start_tasks(1)", &["tasker_orchestrator"]),
    ("select tasker.process_step_results(1)", &["tasker_orchestrator"]),
    ("select tasker.prune(1)", &["tasker_orchestrator", "tasker_operator"]),
    ("select tasker.read_events('test', 1)", &["tasker_consumer"]),
    ("select tasker.finish_events('test', '{1}')", &["tasker_consumer"]),
    ("select tasker.pause_namespace('test')", &["tasker_operator"]),
    ("select tasker.apply_template('{}')", &["tasker_operator"]),
];

#[tokio::test]
async fn whoever_logs_in_is_refused_what_is_not_for_their_role() {
    let db = with_queue().await;
    for role in [None].into_iter().chain(ROLES.map(Some)) {
        let (_, url) = db.login(role.as_slice()).await;
        let mut connection = connect(&url).await;
        for sql in NEVER {
            refused(&mut connection, sql).await;
        }
        for (sql, allowed) in SOMETIMES {
            if !role.is_some_and(|role| allowed.contains(&role)) {
                refused(&mut connection, sql).await;
            } else if let Err(error) =
                raw_sql(AssertSqlSafe((*sql).to_owned())).execute(&mut connection).await
            {
                let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
                assert!(code.starts_with("TK"), "{role:?} may: {sql}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_enqueues_and_reads_its_task_and_nothing_else() {
    let db = with_queue().await;
    let (_, url) = db.login(&["tasker_client"]).await;
    let mut client = connect(&url).await;
    let id: Uuid = query_scalar("select tasker.enqueue_task('test', 'flow')")
        .fetch_one(&mut client)
        .await
        .unwrap();
    let status: Value = query_scalar("select tasker.task_status($1)")
        .bind(id)
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert_eq!(status["state"], "pending");
    let result: Option<Value> = query_scalar("select tasker.task_result($1)")
        .bind(id)
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert_eq!(result, None);
    let cancelled: bool = query_scalar("select tasker.cancel_task($1)")
        .bind(id)
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert!(cancelled);
    let problems: i64 = query_scalar("select count(*) from tasker.validate_template('{}')")
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert!(problems > 0);
    pgtasker_core::schema::check(&PgPool::connect(&url).await.unwrap()).await.unwrap();
}

/// Views run functions, which their readers must be allowed to execute.
#[rstest]
#[case("tasker_readonly")]
#[case("tasker_operator")]
#[tokio::test]
async fn every_view_can_be_read_by_those_who_read(#[case] role: &str) {
    let db = with_queue().await;
    let growing = json!({"namespace": "test", "name": "growing", "version": "1", "steps": [
        {"name": "route", "type": "decision", "handler": {"callable": "noop"}},
        {"name": "ship", "dependencies": ["route"], "handler": {"callable": "noop"}}]});
    query("select tasker.apply_template($1)").bind(growing).execute(&db.pool).await.unwrap();
    run(&db, "select tasker.enqueue_task('test', 'growing'); select tasker.start_tasks(10)").await;
    run(&db, "select tasker.add_dead_letter(task_id) from tasker.tasks").await;
    let (_, url) = db.login(&[role]).await;
    let mut reader = connect(&url).await;
    let mut filled = 0;
    for relation in roles_rights::names(&db.pool, roles_rights::ALL_RELATIONS, role).await {
        let count = format!("select count(r::text) from tasker.{relation} r");
        let rows: i64 = query_scalar(AssertSqlSafe(count))
            .fetch_one(&mut reader)
            .await
            .unwrap_or_else(|error| panic!("{relation}: {error}"));
        filled += usize::from(rows > 0);
    }
    assert!(filled > 15, "most of them have rows here: {filled}");
}

/// A trigger runs with the rights of who writes the table, and needs the role then; or with its
/// owner's.
#[tokio::test]
async fn a_trigger_of_an_unprivileged_user_enqueues_in_the_users_transaction() {
    let db = with_queue().await;
    let (owner, owner_url) = db.login(&["tasker_client"]).await;
    let (client, client_url) = db.login(&["tasker_client"]).await;
    let (stranger, stranger_url) = db.login(&[]).await;
    run(&db, format!("create schema shop authorization {owner}")).await;
    let mut owner = connect(&owner_url).await;
    let tables = ["as_invoker", "as_definer"].map(|table| {
        let definer = if table == "as_definer" {
            "security definer set search_path = pg_catalog, \
            pg_temp"
        } else {
            ""
        };
        format!(
            "create table shop.{table} (id int);
             create function shop.{table}() returns trigger language plpgsql {definer} as $$
             begin perform tasker.enqueue_task('test', 'flow', jsonb_build_object('id', new.id)); \
             return new; end $$;
             create trigger enqueue after insert on shop.{table} for each row execute function \
             shop.{table}();
             grant insert on shop.{table} to {client}, {stranger};"
        )
    });
    let grants = format!("grant usage on schema shop to {client}, {stranger}; {}", tables.concat());
    raw_sql(AssertSqlSafe(grants)).execute(&mut owner).await.unwrap();

    let (mut client, mut stranger) = (connect(&client_url).await, connect(&stranger_url).await);
    query("insert into shop.as_invoker values (1)").execute(&mut client).await.unwrap();
    refused(&mut stranger, "insert into shop.as_invoker values (2)").await;
    query("insert into shop.as_definer values (3)").execute(&mut stranger).await.unwrap();
    // The definer lends its right to the trigger only.
    refused(&mut stranger, "select tasker.enqueue_task('test', 'flow')").await;
    let mut undone = stranger.begin().await.unwrap();
    query("insert into shop.as_definer values (4)").execute(&mut *undone).await.unwrap();
    undone.rollback().await.unwrap();
    let contexts: Vec<Value> =
        query_scalar("select context -> 'id' from tasker.tasks order by task_id")
            .fetch_all(&db.pool)
            .await
            .unwrap();
    assert_eq!(contexts, [json!(1), json!(3)]);
}

/// Types in a session's temporary schema would hide PostgreSQL's own, and their checks run as the
/// role that uses them.
#[tokio::test]
async fn nobody_puts_types_of_their_own_under_the_engines_functions() {
    let db = with_queue().await;
    let (_, url) = db.login(&["tasker_client"]).await;
    let mut client = connect(&url).await;
    let trap = |name: &str| {
        format!("create domain pg_temp.{name} as pg_catalog.{name} check (pg_temp.trap(value));")
    };
    let traps: String = ["uuid", "text", "jsonb", "timestamptz", "int4", "bool"].map(trap).concat();
    let lay = format!(
        "create function pg_temp.trap(x anyelement) returns pg_catalog.bool language plpgsql as \
         $$ begin
             if current_user <> session_user then
                 raise exception 'runs as %', current_user;
             end if;
             return true;
         end $$; {traps}"
    );
    raw_sql(AssertSqlSafe(lay)).execute(&mut client).await.unwrap();
    let id: Uuid =
        query_scalar("select tasker.enqueue_task('test', 'flow', '{}', null, 0, null, 'once')")
            .fetch_one(&mut client)
            .await
            .unwrap();
    for call in ["task_status", "task_result", "cancel_task"] {
        let call = format!("select tasker.{call}('{id}')");
        raw_sql(AssertSqlSafe(call.clone()))
            .execute(&mut client)
            .await
            .unwrap_or_else(|e| panic!("{call}: {e}"));
    }
    raw_sql(
        "select tasker.enqueue_tasks('test', 'flow', '{\"{}\"}'); select \
        tasker.validate_template('{\"steps\": []}')",
    )
    .execute(&mut client)
    .await
    .unwrap();
}
