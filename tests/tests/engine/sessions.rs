//! What connections are set to: by the database's or a role's defaults, by ours, and by the
//! functions and handlers that ran on them.

use crate::world::{SOON, World};
use pgtasker_core::db::{DbOptions, connect};
use pgtasker_tests::eventually;
use pgtasker_worker::{CancellationToken, StepError, StepOutcome, Worker};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Each step a `sql` function of schema public.
fn flow(functions: &[&str]) -> Value {
    let steps: Vec<Value> = functions
        .iter()
        .map(|name| {
            json!({
                "name": name,
                "handler": {"callable": "sql", "config": {"function": format!("public.{name}")}},
                "timeout_seconds": 20,
                "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false},
            })
        })
        .collect();
    json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})
}

async fn run(world: &World, sql: impl Into<String>) {
    world.db.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.into()))).await.unwrap();
}

/// What suits other programs and is no default of PostgreSQL.
const ODD: &[&str] = &[
    "standard_conforming_strings = off",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "statement_timeout = '1s'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '300ms'",
    "intervalstyle = 'iso_8601'",
    "datestyle = 'German'",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "array_nulls = off",
    "transform_null_equals = on",
    "quote_all_identifiers = on",
    "row_security = off",
    "search_path = 'nowhere'",
];

#[tokio::test]
async fn tasks_complete_whatever_the_defaults_of_the_database_are() {
    let mut world = World::new().await;
    run(
        &world,
        "create function public.slow(jsonb) returns jsonb language plpgsql as $$ begin
                     perform pg_sleep(1.2); return jsonb_build_object('third', 1.0::float8 / 3); \
                     end $$",
    )
    .await;
    world.apply(flow(&["slow"])).await;
    for setting in ODD {
        run(&world, format!("alter database {} set {setting}", world.db.name())).await;
    }
    world.orchestrator().await;
    world.worker(|w| w).await;
    world.poll_only = true;
    world.worker(|w| w).await;
    for n in 0..4 {
        // A client of its own, as the database makes it: with a patience of a millisecond, any
        // wait for a lock ends its call, and it calls again.
        let mut client = PgConnection::connect(&world.db.url).await.unwrap();
        let id: Uuid = eventually("the task to be enqueued", SOON, async || {
            sqlx::query_scalar(
                "select tasker.enqueue_task('test', 'flow', $1, p_idempotency_key => $2)",
            )
            .bind(json!({"n": n}))
            .bind(format!("key\\{n}"))
            .fetch_one(&mut client)
            .await
        })
        .await;
        // The function has the database's own defaults, and its step's timeout.
        assert_eq!(world.result(id).await["slow"]["third"].to_string(), "0.3");
        sqlx::query("select * from tasker.task_status($1)")
            .bind(id)
            .execute(&mut client)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_worker_in_another_isolation_is_told_so() {
    let world = World::new().await;
    world.apply(flow(&["slow"])).await;
    let mut connection = PgConnection::connect(&world.db.url).await.unwrap();
    connection.execute("begin isolation level serializable").await.unwrap();
    let error = sqlx::query("select * from tasker.claim_steps('test', gen_random_uuid(), 1)")
        .execute(&mut connection)
        .await
        .unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "TK017");
}

/// Functions of workers and orchestrators that may be called in any isolation: those that only
/// read, and those that operators have too, which fail by themselves where others were faster.
const ANY_ISOLATION: &[&str] = &[
    "create_queues",
    "live_worker_counts",
    "lost_claims",
    "now",
    "open_task_counts",
    "prune",
    "queue_metrics",
];

#[tokio::test]
async fn every_function_of_an_engine_that_writes_wants_read_committed() {
    let world = World::new().await;
    let mut connection = PgConnection::connect(&world.db.url).await.unwrap();
    // Every argument that has to be given is null: nothing is looked at before.
    let calls: Vec<(String, String)> = sqlx::query_as(
        "select p.proname, format('select from tasker.%I(%s)', p.proname,
                (select string_agg('null::' || format_type(t, null), ', ' order by n)
                   from unnest(p.proargtypes::oid[]) with ordinality a(t, n)
                  where n <= p.pronargs - p.pronargdefaults))
           from pg_proc p
          where p.pronamespace = 'tasker'::regnamespace and p.provolatile = 'v' and p.prosecdef
            and (has_function_privilege('tasker_worker', p.oid, 'execute')
                 or has_function_privilege('tasker_orchestrator', p.oid, 'execute'))
          order by 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let (mut refusing, mut others) = (BTreeSet::new(), BTreeSet::new());
    for (name, call) in calls {
        for isolation in ["repeatable read", "serializable"] {
            let begin = format!("begin isolation level {isolation}");
            connection.execute(sqlx::raw_sql(AssertSqlSafe(begin))).await.unwrap();
            let answer = sqlx::query(AssertSqlSafe(call.clone())).execute(&mut connection).await;
            let code = answer
                .err()
                .and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
            let is_refused = code.as_deref() == Some("TK017");
            if is_refused {
                refusing.insert(name.clone())
            } else {
                others.insert(name.clone())
            };
            connection.execute("rollback").await.unwrap();
        }
    }
    assert_eq!(others.iter().map(String::as_str).collect::<Vec<_>>(), ANY_ISOLATION);
    for name in
        ["claim_steps", "remove_worker", "start_tasks", "sweep_stale", "take_finished_counts"]
    {
        assert!(refusing.contains(name), "{name} is not among {refusing:?}");
    }
}

/// What the next step sees of its session.
const LOOK: &str = "create function public.look(jsonb) returns jsonb language sql as $$ select \
    jsonb_build_object(
    'search_path', current_setting('search_path'), 'user', current_user,
    'lock_timeout', current_setting('lock_timeout'), 'custom', \
    nullif(current_setting('my.setting', true), ''),
    'isolation', current_setting('transaction_isolation'),
    'pause', current_setting('idle_in_transaction_session_timeout'),
    'prepared', (select count(*) from pg_prepared_statements where name not like 'sqlx%'),
    'temporary', (select count(*) from pg_class where relpersistence = 't' and relnamespace = \
    pg_my_temp_schema()),
    'locks', (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    'listening', (select count(*) from pg_listening_channels())) $$";

/// Each leaves something behind, then succeeds or raises.
const LEAVINGS: &[&str] = &[
    "perform set_config('search_path', 'nowhere', false)",
    "set role pg_monitor",
    "set session authorization pg_monitor",
    "perform set_config('lock_timeout', '1ms', false); perform set_config('my.setting', '1', \
     false)",
    "deallocate all",
    "execute 'prepare mine as select 1'",
    "create temp table t(); perform pg_advisory_lock(1); perform pg_advisory_lock_shared(2)",
    "listen x",
    "set session characteristics as transaction isolation level serializable",
    "perform pg_advisory_lock(3); raise exception 'after a lock'",
];

async fn sees_a_new_session(poll_only: bool) {
    let mut world = World::new().await;
    world.poll_only = poll_only;
    run(&world, LOOK).await;
    let names: Vec<String> = (0..LEAVINGS.len()).map(|n| format!("leave_{n}")).collect();
    for (name, leaving) in names.iter().zip(LEAVINGS) {
        run(
            &world,
            format!(
                "create function public.{name}(jsonb) returns jsonb language plpgsql as
                     $$ begin {leaving}; return 'null'; end $$"
            ),
        )
        .await;
    }
    let all: Vec<&str> = std::iter::once("look").chain(names.iter().map(String::as_str)).collect();
    for name in &all {
        let mut template = flow(&[name]);
        template["name"] = json!(name);
        template["steps"][0]["retry"]["max_attempts"] = json!(1);
        world.apply(template).await;
    }
    world.orchestrator().await;
    // One of four connections is for them.
    world.worker(|w| w).await;
    let task = async |name: &str| -> Uuid {
        sqlx::query_scalar("select tasker.enqueue_task('test', $1, '{}')")
            .bind(name)
            .fetch_one(&world.db.pool)
            .await
            .unwrap()
    };
    let look = task("look").await;
    let new = world.result(look).await;
    assert_eq!(new["look"]["isolation"], "read committed");
    assert_eq!(
        new["look"]["pause"], "20s",
        "a frozen worker's locks are free before its step's time is over"
    );
    for (name, leaving) in names.iter().zip(LEAVINGS) {
        if poll_only && leaving.contains("prepare") {
            // A pooler's own are among them.
            continue;
        }
        let id = task(name).await;
        world.ended(id).await;
        for _ in 0..3 {
            let look = task("look").await;
            assert_eq!(world.result(look).await, new, "after {leaving}");
        }
    }
}

#[tokio::test]
async fn nothing_that_a_function_leaves_behind_reaches_the_next_step() {
    sees_a_new_session(false).await;
}

#[tokio::test]
async fn nor_where_each_call_is_a_transaction() {
    sees_a_new_session(true).await;
}

/// What ends the task or step that runs it: $1 has task_id and step.
const ENDINGS: &[&str] = &[
    "perform tasker.cancel_task(v_task, 'me')",
    "perform tasker.resolve_step(v_task, 'end', '1', 'me')",
    "perform tasker.resolve_task(v_task, '1', 'me')",
    "perform tasker.submit_results(gen_random_uuid(), \
     jsonb_build_array(jsonb_build_object('task_id', v_task, 'step', 'end',
         'claim_no', (select claim_no from tasker.steps where task_id = v_task), 'outcome', \
         '{\"type\": \"success\"}'::jsonb)))",
    "perform tasker.release_steps(gen_random_uuid(), \
     jsonb_build_array(jsonb_build_object('task_id', v_task, 'step', 'end',
         'claim_no', (select claim_no from tasker.steps where task_id = v_task))), interval '0', \
         'me')",
];

#[tokio::test]
async fn a_function_that_ends_its_own_step_fails_it_with_a_text_that_says_so() {
    let world = World::with(flow(&["end"])).await;
    run(&world, "create table public.how (n int generated always as identity, task_id uuid)").await;
    let cases: String = ENDINGS
        .iter()
        .enumerate()
        .map(|(n, ending)| format!("when {n} then {ending};\n"))
        .collect();
    run(
        &world,
        format!(
            "create function public.end(p jsonb) returns jsonb language plpgsql as $$
                 declare v_task uuid := (p ->> 'task_id')::uuid;
                 begin case (p -> 'context' ->> 'n')::int {cases} end case; return 'null'; end $$"
        ),
    )
    .await;
    world.worker(|w| w).await;
    for (n, ending) in ENDINGS.iter().enumerate() {
        let id = world.enqueue(json!({"n": n})).await;
        assert_eq!(world.ended(id).await, "blocked_by_failures", "{ending}");
        let (state, attempt, claim_no, error) = world.step(id, "end").await;
        let error = error.unwrap();
        assert_eq!((state.as_str(), attempt, claim_no), ("error", 1, 1), "{ending}: {error}");
        assert_eq!(error["code"], "own_step", "{ending}: {error}");
        assert!(
            error["message"].as_str().unwrap().starts_with("public.end ended its own step"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn so_does_a_handler_that_ends_it_in_its_own_transaction() {
    let world = World::with(json!({"namespace": "test", "name": "flow", "version": "1", "steps": [
        {"name": "only", "handler": {"callable": "own"}}]}))
    .await;
    world
        .worker(|w| {
            w.handler(
                "own",
                async |ctx: pgtasker_worker::StepContext| -> Result<StepOutcome, StepError> {
                    let mut tx = ctx.begin().await?;
                    sqlx::query("select tasker.cancel_task($1, 'me')")
                        .bind(ctx.task_id())
                        .execute(&mut *tx)
                        .await?;
                    tx.complete(()).await
                },
            )
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (state, attempt, _, error) = world.step(id, "only").await;
    assert_eq!(
        (state.as_str(), attempt, &error.unwrap()["code"]),
        ("error", 1, &json!("own_step"))
    );
}

/// And at once: those that keep theirs learn of those who wait.
#[tokio::test]
async fn one_connection_is_enough_for_all_actors_of_an_orchestrator() {
    let world = World::new().await;
    world
        .apply(json!({"namespace": "test", "name": "flow", "version": "1", "steps": [
        {"name": "a", "handler": {"callable": "noop"}},
        {"name": "b", "handler": {"callable": "noop"}, "dependencies": ["a"]}]}))
        .await;
    let (name, url) = world.db.login(&["tasker_orchestrator"]).await;
    run(&world, format!("alter role {name} connection limit 1")).await;
    let pool = connect(&DbOptions::new(&url, "orchestrator").max_connections(5)).await.unwrap();
    let orchestrator =
        pgtasker_orchestrator::Orchestrator::builder(pool).poll_only(true).build().unwrap();
    tokio::spawn(orchestrator.run(CancellationToken::new()));
    world.worker(|worker| worker).await;
    let began = std::time::Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..50 {
        tasks.push(world.enqueue(json!({})).await);
    }
    for id in tasks {
        assert_eq!(world.ended(id).await, "complete");
    }
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_role_with_few_connections_shares_them_among_the_actors() {
    let world = World::with(json!({"namespace": "test", "name": "flow", "version": "1", "steps": [
        {"name": "a", "handler": {"callable": "noop"}},
        {"name": "b", "handler": {"callable": "noop"}, "dependencies": ["a"]}]}))
    .await;
    let (name, url) = world.db.login(&["tasker_worker"]).await;
    run(&world, format!("alter role {name} connection limit 3")).await;
    let pool = connect(&DbOptions::new(&url, "worker").max_connections(10)).await.unwrap();
    let worker = Worker::builder(pool).namespace("test").build().unwrap();
    tokio::spawn(worker.run(CancellationToken::new()));
    let mut tasks = Vec::new();
    for _ in 0..50 {
        tasks.push(world.enqueue(json!({})).await);
    }
    // One actor or another waited for a connection for half a minute, and gave up.
    for id in tasks {
        assert_eq!(world.ended(id).await, "complete");
    }
}
