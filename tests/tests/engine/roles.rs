//! The database roles: each may do its part and nothing else. What each may is written down here by
//! hand, so that a right that comes by accident, with a new function or view, fails.

use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, query, query_scalar, raw_sql};
use std::collections::BTreeSet;
use tasker_tests::TestDb;
use uuid::Uuid;

const ROLES: [&str; 6] = [
    "tasker_client",
    "tasker_worker",
    "tasker_orchestrator",
    "tasker_consumer",
    "tasker_operator",
    "tasker_readonly",
];

// The functions that each role may execute. A new one goes into the list of every role that is
// granted it.

const CLIENT: &[&str] = &[
    "enqueue_task",
    "enqueue_tasks",
    "task_status",
    "task_result",
    "task_context",
    "task_results",
    "cancel_task",
    "validate_template",
    "template_warnings",
];
const WORKER: &[&str] = &[
    "claim_steps",
    "submit_results",
    "complete_steps",
    "extend_leases",
    "lost_claims",
    "release_steps",
    "heartbeat",
    "remove_worker",
    "run_alone",
    "template_handlers",
    "run_sql_handler",
    "outcome_problem",
    "outcome_too_large",
    "parent_results",
    "batch_results",
];
const ORCHESTRATOR: &[&str] = &[
    "create_queues",
    "take_task_requests",
    "start_tasks",
    "template_input_schema",
    "initialize_tasks",
    "process_step_results",
    "process_slow_result",
    "set_aside",
    "enqueue_ready_steps",
    "finalize_tasks",
    "sweep_stale",
    "ended_tasks",
    "prune",
    "now",
    "queue_metrics",
    "worker_queue",
    "events_queue",
    "open_task_counts",
    "take_finished_counts",
    "live_worker_counts",
    "limits",
    "find_limits",
    "may_see_entry",
];
const CONSUMER: &[&str] = &["read_events", "finish_events"];
const READONLY: &[&str] = &[
    "task_status",
    "task_result",
    "task_context",
    "count_dead_letters",
    "list_settings",
    "task_results",
    "validate_template",
    "template_warnings",
    "now",
    "queue_metrics",
    "worker_queue",
    "events_queue",
    "batch_results",
    "unmade_steps",
    "cursor_items",
    "open_task_counts",
    "live_worker_counts",
    "missing_worker",
    "task_waiting_for",
    "list_tasks",
    "list_steps",
    "show_step",
    "list_dead_letters",
    "list_events",
    "slowest_steps",
    "throughput",
    "failure_rates",
    // By these, views and the policies of tables know who is limited to namespaces.
    "limits",
    "find_limits",
    "may_see_entry",
    "refuse_limited",
];
const OPERATOR: &[&str] = &[
    "create_queues",
    "apply_template",
    "use_template",
    "pause_namespace",
    "resume_namespace",
    "limit_namespace",
    "retry_step",
    "resolve_step",
    "resolve_task",
    "reset_task",
    "retry_tasks",
    "cancel_tasks",
    "count_tasks",
    "dlq_add",
    "dlq_update",
    "dlq_retry",
    "dlq_retry_all",
    "dlq_update_all",
    "set_setting",
    "prune",
    "grant_namespace",
    "revoke_namespace",
];

fn functions(role: &str) -> Vec<&'static str> {
    // Every program asks it at its start.
    let all: &[&str] = &["installation_problems"];
    match role {
        "tasker_client" => [CLIENT, all].concat(),
        "tasker_worker" => [WORKER, all].concat(),
        "tasker_orchestrator" => [ORCHESTRATOR, all].concat(),
        "tasker_consumer" => [CONSUMER, all].concat(),
        "tasker_operator" => [CLIENT, READONLY, OPERATOR, all].concat(),
        "tasker_readonly" => [READONLY, all].concat(),
        _ => Vec::new(),
    }
}

/// The tables and views that each role may read; None: all but those of the engine itself. Nobody
/// may write any.
fn relations(role: &str) -> Option<Vec<&'static str>> {
    match role {
        "tasker_operator" | "tasker_readonly" => None,
        "tasker_orchestrator" => {
            Some(vec!["schema_info", "schema_migrations", "queue_overview", "dlq_counts"])
        }
        "tasker_client" | "tasker_worker" | "tasker_consumer" => {
            Some(vec!["schema_info", "schema_migrations"])
        }
        _ => Some(Vec::new()),
    }
}

async fn names(pool: &PgPool, sql: &'static str, role: &str) -> BTreeSet<String> {
    let names: Vec<String> = query_scalar(sql).bind(role).fetch_all(pool).await.unwrap();
    names.into_iter().collect()
}

fn set(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

/// Functions of schema tasker, trigger functions and those of the engine too.
const MAY_EXECUTE: &str = "select p.proname::text from pg_proc p
    where p.pronamespace = 'tasker'::regnamespace and has_schema_privilege($1, 'tasker', 'usage') \
    and has_function_privilege($1, p.oid, 'execute')";
const MAY_READ: &str = "select c.relname::text from pg_class c
    where c.relnamespace = 'tasker'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f') and \
    has_schema_privilege($1, 'tasker', 'usage')
      and has_any_column_privilege($1, c.oid, 'select')";
const ALL_RELATIONS: &str = "select c.relname::text from pg_class c
    where c.relnamespace = 'tasker'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f') and \
    $1 <> ''
      -- What tasker's own functions read, unfiltered.
      and c.relname not in ('every_ready_step', 'every_gated_namespace')";
/// What nobody may do, schema usage or not: writing, sequences, and everything of pgmq.
const MAY_WRITE: &str = "select format('%s %s', x.verb, c.oid::regclass) from pg_class c
     cross join unnest('{insert,update,references}'::text[]) x(verb)
     where c.relnamespace = 'tasker'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f') and \
     has_any_column_privilege($1, c.oid, x.verb)
    union all
    select format('%s %s', x.verb, c.oid::regclass) from pg_class c cross join \
    unnest('{delete,truncate,trigger}'::text[]) x(verb)
     where c.relnamespace = 'tasker'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f') and \
     has_table_privilege($1, c.oid, x.verb)
    union all
    select format('%s %s', x.verb, c.oid::regclass) from pg_class c cross join \
    unnest('{usage,update}'::text[]) x(verb)
     where c.relnamespace in ('tasker'::regnamespace, 'pgmq'::regnamespace) and c.relkind = 'S' \
     and has_sequence_privilege($1, c.oid, x.verb)
    union all
    select format('%s %s', x.verb, c.oid::regclass) from pg_class c cross join \
    unnest('{select,insert,update,delete,truncate,references,trigger}'::text[]) x(verb)
     where c.relnamespace = 'pgmq'::regnamespace and c.relkind in ('r', 'v', 'p') and \
     has_table_privilege($1, c.oid, x.verb)
    union all
    select format('%s on %s', x.verb, n.nspname) from pg_namespace n cross join \
    unnest('{create,usage}'::text[]) x(verb)
     where (n.nspname, x.verb) in (('tasker', 'create'), ('pgmq', 'create'), ('pgmq', 'usage')) \
     and has_schema_privilege($1, n.oid, x.verb)";

#[rstest]
#[case("public")]
#[case("tasker_client")]
#[case("tasker_worker")]
#[case("tasker_orchestrator")]
#[case("tasker_consumer")]
#[case("tasker_operator")]
#[case("tasker_readonly")]
#[tokio::test]
async fn a_role_has_the_rights_that_are_listed_and_no_other(#[case] role: &str) {
    let db = with_queue().await;
    assert_eq!(names(&db.pool, MAY_EXECUTE, role).await, set(functions(role)), "functions");
    let readable = match relations(role) {
        Some(listed) => set(listed),
        None => names(&db.pool, ALL_RELATIONS, role).await,
    };
    assert_eq!(names(&db.pool, MAY_READ, role).await, readable, "tables and views");
    assert_eq!(names(&db.pool, MAY_WRITE, role).await, set([""; 0]), "writes, sequences, pgmq");
}

/// Even where a schema is opened by hand, public can call none of our functions.
#[tokio::test]
async fn public_executes_nothing_even_if_it_may_use_the_schema() {
    let db = with_queue().await;
    run(&db, "grant usage on schema tasker to public").await;
    for what in [MAY_EXECUTE, MAY_READ] {
        assert_eq!(names(&db.pool, what, "public").await, set([""; 0]));
    }
}

/// The test of rights sees a right that is too much.
#[tokio::test]
async fn a_right_too_much_is_seen() {
    let db = with_queue().await;
    for (grant, query) in [
        ("grant execute on function tasker.set_clock to tasker_client", MAY_EXECUTE),
        ("grant select (state) on tasker.tasks to tasker_client", MAY_READ),
        ("grant update (priority) on tasker.tasks to tasker_client", MAY_WRITE),
        ("grant usage on schema pgmq to tasker_client", MAY_WRITE),
    ] {
        let before = names(&db.pool, query, "tasker_client").await;
        run(&db, grant).await;
        assert_eq!(
            names(&db.pool, query, "tasker_client").await.len(),
            before.len() + 1,
            "{grant}"
        );
    }
}

/// With the queues of one namespace, which a template brings.
async fn with_queue() -> TestDb {
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
    tasker_core::schema::check(&PgPool::connect(&url).await.unwrap()).await.unwrap();
}

/// Views run functions, which whoever reads them must be allowed to execute.
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
    run(&db, "select tasker.dlq_add(task_id) from tasker.tasks").await;
    let (_, url) = db.login(&[role]).await;
    let mut reader = connect(&url).await;
    let mut filled = 0;
    for relation in names(&db.pool, ALL_RELATIONS, role).await {
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

/// Types in a session's temporary schema would go before PostgreSQL's own, and their checks run as
/// whoever uses them.
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
