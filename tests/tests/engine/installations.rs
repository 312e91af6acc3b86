//! Where the database lives: encodings, settings, publications, row security, and owners. Each
//! works, or is refused with what to do.

use pgtasker_core::{Error, schema};
use pgtasker_orchestrator::Orchestrator;
use pgtasker_tests::{
    TestDb,
    engine::{Engine, flow, publishing_flow},
    eventually, start_server,
};
use pgtasker_worker::{CancellationToken, StepContext, StepOutcome, Worker};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
    query, query_as, query_scalar, raw_sql,
};
use std::time::Duration;
use uuid::Uuid;

pub(crate) async fn run(pool: &PgPool, sql: impl Into<String>) {
    let sql = sql.into();
    raw_sql(AssertSqlSafe(sql.clone()))
        .execute(pool)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// A new database on the server of `db`, without anything.
pub(crate) async fn empty(db: &TestDb, options: &str) -> PgPool {
    let name = format!("place_{}", Uuid::now_v7().simple());
    run(&db.pool, format!("create database {name} template template0 {options}")).await;
    connect(db, &name, None).await
}

/// Connections of a login, else of the superuser.
pub(crate) async fn connect(db: &TestDb, database: &str, user: Option<&str>) -> PgPool {
    let mut options: PgConnectOptions = db.url.parse().unwrap();
    options = options.database(database);
    if let Some(user) = user {
        options = options.username(user).password("secret");
    }
    PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
}

pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Schema(message)) => message,
        other => panic!("expected an error about the schema, not {other:?}"),
    }
}

pub(crate) async fn problems(pool: &PgPool) -> Vec<String> {
    query_scalar("select distinct code from tasker.installation_problems() order by 1")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn migrate_makes_roles_that_are_missing_and_grants_them_all() {
    // Roles belong to the cluster: one of its own.
    let server = start_server(&[]).await;
    let db = TestDb::on(&server).await;
    let roles = "tasker_client, tasker_worker, tasker_orchestrator, tasker_consumer, \
        tasker_operator, tasker_readonly";
    run(&db.pool, format!("drop owned by {roles}; drop role {roles}")).await;
    let report = pgtasker_queues::migrate(&db.pool).await.unwrap();
    assert!(report.schema.up_to_date(), "{report}");
    let (there, may): (i64, bool) = query_as(
        "select count(*), (select bool_and(has_function_privilege('tasker_client', p.oid, \
         'execute')) from pg_proc p where p.proname = 'enqueue_task')
           from pg_roles where rolname like 'tasker\\_%'",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((there, may), (6, true));
}

#[tokio::test]
async fn a_queue_that_is_gone_is_made_again_and_row_security_makes_the_process_unhealthy() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    // As an owner whom row security holds for; superusers pass it.
    let owner = format!("owner_{}", Uuid::now_v7().simple());
    let there = empty(&e.db, "").await;
    let database = there.connect_options().get_database().unwrap().to_owned();
    run(
        &there,
        format!(
            "create role {owner} login password 'secret' createrole; alter database \
        {database} owner to {owner}"
        ),
    )
    .await;
    let owned = connect(&e.db, &database, Some(&owner)).await;
    pgtasker_queues::migrate(&owned).await.unwrap();
    query("select * from tasker.apply_template($1)")
        .bind(flow(&[("a", &[])]))
        .execute(&owned)
        .await
        .unwrap();

    let orchestrator = Orchestrator::builder(owned.clone()).poll_only(true).build().unwrap();
    let health = orchestrator.health();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(orchestrator.run(shutdown.clone()));
    query("select pgmq.drop_queue('worker_test_queue')").execute(&there).await.unwrap();
    eventually("the queue to be made again", Duration::from_secs(120), async || {
        let left = problems(&there).await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    let set = async |what: &str| {
        let tables =
            ["namespaces", "templates"].map(|name| format!("alter table tasker.{name} {what};"));
        run(&there, tables.concat()).await;
    };
    set("enable row level security, force row level security").await;
    let status = eventually("the health to say so", Duration::from_secs(120), async || {
        let status = health.status();
        if status.healthy { Err(status) } else { Ok(status) }
    })
    .await;
    let reason = status.reason.unwrap();
    assert!(reason.contains("row security hides rows of tasker.namespaces"), "{reason}");
    assert!(reason.contains("disable row level security"), "{reason}");
    shutdown.cancel();
    running.await.unwrap().unwrap();

    // At a start and by migrate it is refused; a call says what is the matter, not that nothing is
    // there.
    assert!(refusal(schema::check(&owned).await).contains("row security hides rows"));
    assert!(refusal(pgtasker_queues::migrate(&owned).await).contains("row security hides rows"));
    let error = query("select tasker.enqueue_task('test', 'flow', '{}')")
        .execute(&owned)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("row-level security"), "{error}");
    set("no force row level security, disable row level security").await;
    schema::check(&owned).await.unwrap();
    query("select tasker.enqueue_task('test', 'flow', '{}')").execute(&owned).await.unwrap();
}

#[tokio::test]
async fn an_event_trigger_that_changes_owners_is_named() {
    let db = TestDb::new().await;
    let [owner, other] =
        ["owner", "other"].map(|name| format!("{name}_{}", Uuid::now_v7().simple()));
    let there = empty(&db, "").await;
    let database = there.connect_options().get_database().unwrap().to_owned();
    run(
        &there,
        format!(
            "create role {other}; create role {owner} login password 'secret' createrole;
             alter database {database} owner to {owner};
             create function public.take() returns event_trigger language plpgsql security \
             definer as $$
             declare v record;
             begin
                 for v in select c.* from pg_event_trigger_ddl_commands() c join pg_class t on \
                 t.oid = c.objid
                           where c.object_type = 'table' and c.schema_name = 'tasker' and \
                           t.relowner <> '{other}'::regrole loop
                     execute format('alter table %s owner to {other}', v.object_identity);
                 end loop;
             end $$;"
        ),
    )
    .await;
    let owned = connect(&db, &database, Some(&owner)).await;
    pgtasker_queues::migrate(&owned).await.unwrap();
    run(
        &there,
        "create event trigger take on ddl_command_end when tag in ('CREATE TABLE', 'ALTER TABLE') \
         execute function public.take();
         alter table tasker.workers alter column info set statistics 200;",
    )
    .await;
    let refused = refusal(schema::check(&owned).await);
    assert!(refused.contains("table tasker.workers belongs to"), "{refused}");
    assert!(refused.contains("event trigger that changes owners"), "{refused}");
}

/// The states of these tasks, once both are complete or blocked.
async fn ended(pool: &PgPool, tasks: [Uuid; 2]) -> Vec<String> {
    eventually("both to end", Duration::from_secs(120), async || {
        let mut states = Vec::new();
        for id in tasks {
            let state: String =
                query_scalar("select state::text from tasker.tasks where task_id = $1")
                    .bind(id)
                    .fetch_one(pool)
                    .await
                    .unwrap();
            states.push(state);
        }
        if states.iter().all(|s| ["complete", "blocked_by_failures"].contains(&s.as_str())) {
            Ok(states)
        } else {
            Err(states)
        }
    })
    .await
}

#[tokio::test]
async fn every_encoding_works_and_what_it_lacks_fails_its_own_step() {
    let db = TestDb::new().await;
    for (encoding, has, lacks) in
        [("LATIN1", "\u{e9}", "\u{2026}"), ("EUC_JP", "\u{2026}", "\u{1f600}")]
    {
        let there = empty(&db, &format!("encoding '{encoding}' locale 'C'")).await;
        pgtasker_queues::migrate(&there).await.unwrap();
        let mut template = flow(&[("a", &[])]);
        template["steps"][0]["handler"] = json!({"callable": "say"});
        query("select * from tasker.apply_template($1)")
            .bind(template)
            .execute(&there)
            .await
            .unwrap();
        let enqueue = async |context: Value| {
            query_scalar::<_, Uuid>("select tasker.enqueue_task('test', 'flow', $1)")
                .bind(context)
                .fetch_one(&there)
                .await
        };
        // In a call that is one value's, its caller is told.
        let error = enqueue(json!({"say": lacks})).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("22P05"), "{error}");
        let (fine, odd) =
            (enqueue(json!({"n": 0})).await.unwrap(), enqueue(json!({"n": 1})).await.unwrap());
        let say = [has.to_owned(), lacks.to_owned()];
        let worker = Worker::builder(there.clone())
            .namespace("test")
            .poll_only(true)
            .handler("say", move |ctx: StepContext| {
                let say = say.clone();
                async move {
                    let n = ctx.context::<Value>()?["n"].as_u64().unwrap();
                    Ok(StepOutcome::success(json!({"said": say[usize::try_from(n).unwrap()]})))
                }
            })
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(worker.run(shutdown.clone()));
        let orchestrator = Orchestrator::builder(there.clone()).poll_only(true).build().unwrap();
        tokio::spawn(orchestrator.run(shutdown.clone()));
        let states = ended(&there, [fine, odd]).await;
        assert_eq!(states, ["complete", "blocked_by_failures"], "{encoding}");
        let (said, error): (Value, Value) = query_as(
            "select \
                 (select result -> 'said' from tasker.steps where task_id = $1), \
                 (select error from tasker.steps where task_id = $2)",
        )
        .bind(fine)
        .bind(odd)
        .fetch_one(&there)
        .await
        .unwrap();
        assert_eq!(said, json!(has));
        assert!(error["message"].as_str().unwrap().contains("the database refused"), "{error}");
        shutdown.cancel();
        running.await.unwrap().unwrap();
    }
}

/// Whatever a client's session or a database's administrator has set, the functions do the same.
#[tokio::test]
async fn settings_of_the_callers_session_change_nothing() {
    let e = Engine::new().await;
    e.apply(publishing_flow(&["order.paid"])).await;
    let hostile = [
        ("standard_conforming_strings", "off"),
        ("backslash_quote", "off"),
        ("escape_string_warning", "off"),
        ("datestyle", "SQL, DMY"),
        ("intervalstyle", "sql_standard"),
        ("timezone", "Asia/Kathmandu"),
        ("extra_float_digits", "-15"),
        ("bytea_output", "escape"),
        ("array_nulls", "off"),
        ("transform_null_equals", "on"),
        ("quote_all_identifiers", "on"),
        ("search_path", "nowhere"),
        ("from_collapse_limit", "1"),
        ("join_collapse_limit", "1"),
        ("min_parallel_table_scan_size", "0"),
        ("parallel_setup_cost", "0"),
        ("parallel_tuple_cost", "0"),
        ("plpgsql.extra_errors", "all"),
        ("plpgsql.variable_conflict", "use_variable"),
        ("jit_above_cost", "0"),
        ("row_security", "off"),
    ];
    for (name, value) in hostile {
        run(e.pool(), format!("alter database {} set {name} = '{value}'", e.db.name())).await;
    }
    let pool = PgPool::connect(&e.db.url).await.unwrap();
    let setting: String =
        query_scalar("show standard_conforming_strings").fetch_one(&pool).await.unwrap();
    assert_eq!(setting, "off");
    pgtasker_queues::migrate(&pool).await.unwrap();
    for _ in 0..3 {
        query("select tasker.enqueue_task('test', 'flow', '{}')").execute(&pool).await.unwrap();
    }
    crate::dumps::drain(&pool).await;
    assert_eq!(crate::dumps::open_tasks(&pool).await, 0);
    let views: Vec<String> = query_scalar(
        "select c.relname::text from pg_class c where c.relnamespace = 'tasker'::regnamespace and \
         c.relkind = 'v' order by 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for view in views {
        run(&pool, format!("select * from tasker.{view}")).await;
    }
    for call in [
        "select * from tasker.sweep_stale(10)",
        "select * from tasker.prune(10)",
        "select * from tasker.list_tasks('{}', null, 10)",
        "select * from tasker.throughput(null, null, '1 hour', '1 minute', 10)",
        "select tasker.heartbeat(gen_random_uuid(), '{test}', '{noop}', '{}')",
        "select tasker.pause_namespace('test', 'why', 'me')",
        "select tasker.resume_namespace('test')",
        "select * from tasker.retry_tasks('{\"namespace\": \"test\"}', 'why')",
    ] {
        run(&pool, call).await;
    }
}

#[tokio::test]
async fn what_a_publication_of_all_tables_needs_is_there() {
    let e = Engine::new().await;
    // Every table of ours, since any may be deleted from.
    let without: Vec<String> = query_scalar(
        "select c.oid::regclass::text from pg_class c
          where c.relnamespace = 'tasker'::regnamespace and c.relkind in ('r', 'p') and \
          c.relreplident <> 'f'
            and not (c.relreplident = 'd' and exists (select from pg_index i where i.indrelid = \
            c.oid and i.indisprimary))",
    )
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(without, Vec::<String>::new());
    run(e.pool(), "create publication everything for all tables").await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    e.drain().await;
    assert_eq!(e.task_state(id).await, "complete");
    query("update tasker.settings set retention_days = 1").execute(e.pool()).await.unwrap();
    e.clock(3 * 86_400).await;
    let pruned: i32 =
        query_scalar("select tasks from tasker.prune(10)").fetch_one(e.pool()).await.unwrap();
    assert_eq!(pruned, 1);
}

#[tokio::test]
async fn cursors_of_a_kilobyte_fit_for_every_instance_and_more_is_refused_by_its_limit() {
    let e = Engine::new().await;
    let fits: bool = query_scalar(
        "select max_instances::bigint * 1100 <= max_cursors_bytes from tasker.settings",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert!(
        fits,
        "100,000 cursors of a kilobyte were refused by the limit of one result, times 32"
    );
    query("update tasker.settings set max_cursors_bytes = 5000").execute(e.pool()).await.unwrap();
    e.apply(pgtasker_tests::engine::growing_flow(&[
        ("cut", "batchable", &[]),
        ("item", "batch_worker", &["cut"]),
    ]))
    .await;
    let id = e.start().await;
    let claim = e.claim(1).await.remove(0);
    assert_eq!(e.split(&claim, json!(vec!["x".repeat(1000); 6])).await, "rejected");
    e.process().await;
    let error = e.text("select error ->> 'message' from tasker.steps where task_id = $1", id).await;
    assert!(
        error.contains("6 cursors have") && error.contains("the limit is 5000 (max_cursors_bytes"),
        "{error}"
    );
}
