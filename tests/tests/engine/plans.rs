//! The hot functions find their rows by index, whatever the size of the tables. PostgreSQL counts
//! sequential scans within a transaction, so that a plan that changes shows itself here and not in
//! production.

use pgtasker_tests::{engine::Engine, is_long};
use rstest::rstest;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// Rows that any scan from end to end of these tables would read; small ones may be scanned.
async fn sequential_reads(connection: &mut PgConnection) -> i64 {
    sqlx::query(
        "select coalesce(sum(seq_tup_read), 0)::bigint as rows from pg_stat_xact_user_tables
          where schemaname = 'tasker' and relname in ('steps', 'tasks', 'step_transitions', \
          'task_transitions')",
    )
    .fetch_one(connection)
    .await
    .unwrap()
    .get("rows")
}

/// Fewer rows than one scan of the large tables here would read; tables of a few pages are rightly
/// scanned.
const SMALL: i64 = 5_000;

/// One task of `width` parallel steps, `others` tasks of `width` beside it, and `finished` tasks of
/// ten steps; of the latter two a tenth, which is still far more than may be read, unless
/// LONG_TESTS is set.
#[rstest]
#[case::fifty_thousand_steps_in_a_task(50_000, 0, 0)]
#[case::a_million_steps(10, 5_000, 95_000)]
#[tokio::test]
async fn a_batch_reads_only_its_own_rows(
    #[case] width: usize,
    #[case] others: usize,
    #[case] finished: i64,
) {
    let e = Engine::new().await;
    let (others, finished) =
        if is_long() { (others, finished) } else { (others / 10, finished / 10) };
    start_tasks(&e, width, others + 1).await;
    add_history(&e, finished).await;
    for analyzed in [false, true] {
        if analyzed {
            analyze(&e).await;
        }
        // One that has no plans yet.
        let mut connection = PgConnection::connect(&e.db.url).await.unwrap();
        // Several times, so that a new plan would show.
        for round in 0..7 {
            let read = run_batch(&mut connection).await;
            assert!(
                read < SMALL,
                "analyzed {analyzed}, round {round}: {read} rows read by sequential scans"
            );
        }
    }
}

/// A worker that started on empty tables keeps its plans when they fill, until the next analyze.
#[tokio::test]
async fn plans_made_on_small_tables_hold_when_they_grow() {
    let e = Engine::new().await;
    let mut connection = e.pool().acquire().await.unwrap();
    start_tasks(&e, 10, 40).await;
    for _ in 0..7 {
        run_batch(&mut connection).await;
    }
    enqueue(&e, 20_000).await;
    for round in 0..3 {
        let read = run_batch(&mut connection).await;
        assert!(read < SMALL, "round {round}: {read} rows read by sequential scans");
    }
}

/// Claims, submits, and processes up to 50 steps in one transaction, and says what was read by
/// sequential scans.
async fn run_batch(connection: &mut PgConnection) -> i64 {
    let mut tx = connection.begin().await.unwrap();
    let claims = sqlx::query(
        "select task_id, step, claim_no from tasker.claim_steps('test', gen_random_uuid(), 50)",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    assert!(!claims.is_empty());
    let results: Vec<_> = claims
        .iter()
        .map(|c| {
            json!({
                "task_id": c.get::<uuid::Uuid, _>(0),
                "step": c.get::<String, _>(1),
                "claim_no": c.get::<i32, _>(2),
                "outcome": {"type": "success"},
            })
        })
        .collect();
    // Half by the results queue, half in the worker's call.
    let (queued, at_once) = results.split_at(results.len() / 2);
    for (call, results) in [("submit_results", queued), ("complete_steps", at_once)] {
        sqlx::query(AssertSqlSafe(format!("select * from tasker.{call}(gen_random_uuid(), $1)")))
            .bind(json!(results))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    sqlx::query("select * from tasker.process_step_results(50)").execute(&mut *tx).await.unwrap();
    for call in [
        "enqueue_ready_steps(50)",
        "finalize_tasks(50)",
        "sweep_stale(50)",
        "ended_tasks(50)",
        "prune(5)",
    ] {
        sqlx::query(AssertSqlSafe(format!("select * from tasker.{call}")))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let read = sequential_reads(&mut tx).await;
    tx.commit().await.unwrap();
    read
}

/// Few tasks match, and a long history does not: it is not read.
#[rstest]
#[case::analytics_of_a_quiet_namespace("failure_rates('quiet')")]
#[case::analytics_of_a_quiet_template("slowest_steps(null, 'quiet')")]
#[case::unfinished_tasks(
    "list_tasks('{\"states\": [\"blocked_by_failures\", \"steps_in_process\"]}')"
)]
#[case::a_page_of_dead_letters("list_dead_letters(p_max => 20)")]
#[tokio::test]
async fn what_operators_ask_for_does_not_read_the_history(#[case] call: &str) {
    let e = Engine::new().await;
    start_tasks(&e, 10, 5).await;
    add_history(&e, 2 * SMALL).await;
    sqlx::query(
        "insert into tasker.dead_letters (entry_id, reason, task_id, detail, created_at)
         select t.task_id, 'max_retries_exceeded', t.task_id, 'no luck', t.created_at from \
         tasker.tasks t where t.completed_at is not null",
    )
    .execute(e.pool())
    .await
    .unwrap();
    analyze(&e).await;
    let mut tx = e.pool().begin().await.unwrap();
    let before = tasks_read(&mut tx).await;
    sqlx::query(AssertSqlSafe(format!("select * from tasker.{call}")))
        .execute(&mut *tx)
        .await
        .unwrap();
    let read = tasks_read(&mut tx).await - before;
    assert!(read < SMALL / 5, "{read} tasks read");
}

/// Since the server's last look at what this connection has done.
async fn tasks_read(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select (seq_tup_read + idx_tup_fetch)::bigint from pg_stat_xact_user_tables where relid \
         = 'tasker.tasks'::regclass",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

async fn start_tasks(e: &Engine, width: usize, tasks: usize) {
    e.apply(json!({
        "namespace": "test",
        "name": "flow",
        "version": "1",
        "steps": [
            {"name": "a", "handler": {"callable": "noop"}},
            {"name": "b", "dependencies": ["a"], "handler": {"callable": "noop"}},
        ],
    }))
    .await;
    let names: Vec<String> = (0..width).map(|n| format!("s{n}")).collect();
    widen(e, &names).await;
    enqueue(e, tasks).await;
}

/// Enqueues tasks and sends their first steps, by the call the orchestrator uses.
async fn enqueue(e: &Engine, tasks: usize) {
    let contexts = vec![json!({}); tasks];
    sqlx::query("select tasker.enqueue_tasks('test', 'flow', $1)")
        .bind(&contexts)
        .execute(e.pool())
        .await
        .unwrap();
    for _ in 0..=tasks / 10_000 {
        sqlx::query(
            "select * from tasker.initialize_tasks((select \
            coalesce(jsonb_agg(jsonb_build_object('msg_id', r.msg_id, 'task_id', r.task_id)), \
            '[]') from tasker.take_task_requests(10001) r))",
        )
        .execute(e.pool())
        .await
        .unwrap();
    }
}

/// Tasks that ended long ago, ten steps each, written past the engine: it would take minutes.
async fn add_history(e: &Engine, tasks: i64) {
    let mut tx = e.pool().begin().await.unwrap();
    for (table, trigger) in [("tasks", "refuse_start"), ("steps", "audit_new")] {
        let alter = |what: &str| {
            AssertSqlSafe(format!("alter table tasker.{table} {what} trigger {trigger}"))
        };
        sqlx::query(alter("disable")).execute(&mut *tx).await.unwrap();
        sqlx::query(history(table)).bind(tasks).execute(&mut *tx).await.unwrap();
        sqlx::query(alter("enable always")).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Ids as they are made: they begin with the time.
fn history(table: &str) -> &'static str {
    match table {
        "tasks" => {
            "insert into tasker.tasks (task_id, template_id, namespace, name, state, \
             correlation_id, context, created_at, updated_at, completed_at)
             select o.id, t.template_id, t.namespace, t.name, 'complete', o.id, '{}', o.at, o.at, \
             o.at
               from generate_series(1, $1) n, tasker.templates t, (select now() - interval '60 \
               days' as at) d,
                    lateral (select d.at, (lpad(to_hex((extract(epoch from d.at) * \
                    1000)::bigint), 12, '0') || substr(md5(n::text), 13))::uuid as id) o"
        }
        _ => {
            "insert into tasker.steps (task_id, name, template_step, state, satisfied, \
             waiting_on, max_attempts, updated_at, created_at, completed_at)
             select o.id, 's' || i, 'b', 'complete', true, 0, 3, o.at, o.at, o.at
               from generate_series(1, $1) n, generate_series(1, 10) i, (select now() - interval \
               '60 days' as at) d,
                    lateral (select d.at, (lpad(to_hex((extract(epoch from d.at) * \
                    1000)::bigint), 12, '0') || substr(md5(n::text), 13))::uuid as id) o"
        }
    }
}

async fn analyze(e: &Engine) {
    sqlx::query("analyze tasker.steps, tasker.tasks, tasker.step_transitions")
        .execute(e.pool())
        .await
        .unwrap();
}

/// Makes the template's first level as wide as asked, without a definition of that size.
async fn widen(e: &Engine, names: &[String]) {
    sqlx::query(
        "insert into tasker.template_steps (template_id, name, position, level, type, handler, \
            config, max_attempts, backoff, backoff_base_ms, max_backoff_ms, jitter, timeout, \
            parent_count, is_leaf)
         select template_id, n, 2, 0, type, handler, config, max_attempts, backoff, \
         backoff_base_ms, max_backoff_ms, jitter, timeout, 0, false
           from tasker.template_steps, unnest($1::text[]) n where name = 'a'",
    )
    .bind(names)
    .execute(e.pool())
    .await
    .unwrap();
}
