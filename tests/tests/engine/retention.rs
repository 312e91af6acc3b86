//! Retention: what is old enough goes, with all that belongs to it; nothing else does. The clock is
//! frozen; nothing sleeps.

use pgtasker_orchestrator::Orchestrator;
use pgtasker_tests::{
    engine::{Engine, flow},
    eventually,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DAY: i32 = 86_400;

/// (tasks, dead letters, busy) of one call.
async fn prune(pool: &PgPool, max: i32) -> (i32, i32, bool) {
    sqlx::query_as("select tasks, dead_letters, busy from tasker.prune($1)")
        .bind(max)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Rows that speak of a task.
async fn rows_of(pool: &PgPool, id: Uuid) -> i64 {
    // Dead letters have a retention of their own.
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relnamespace = 'tasker'::regnamespace and c.relkind = 'r'
           and a.attname = 'task_id' and c.relname <> 'dead_letters'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() >= 8, "{tables:?}");
    let mut rows = 0;
    for table in tables {
        let count = format!("select count(*) from tasker.{table} where task_id = $1");
        let n: i64 =
            sqlx::query_scalar(AssertSqlSafe(count)).bind(id).fetch_one(pool).await.unwrap();
        rows += n;
    }
    rows
}

async fn finished(e: &Engine) -> Uuid {
    let id = e.start().await;
    e.drain().await;
    id
}

#[tokio::test]
async fn a_finished_task_goes_with_its_steps_and_audit_and_an_unfinished_one_stays() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[]), ("b", &["a"])]);
    template["steps"][1]["when"] = json!("$.task.name == \"flow\"");
    e.apply(template).await;
    e.clock(0).await;
    let old = finished(&e).await;
    let unfinished = e.start().await;
    let before = rows_of(e.pool(), unfinished).await;
    e.clock(10 * DAY).await;
    let cancelled = e.start().await;
    sqlx::query("select tasker.cancel_task($1)").bind(cancelled).execute(e.pool()).await.unwrap();
    e.clock(30 * DAY - 60).await;
    assert_eq!(prune(e.pool(), 100).await, (0, 0, false), "30 days are not over");
    e.clock(30 * DAY + 60).await;
    assert_eq!(prune(e.pool(), 100).await, (1, 0, false));
    assert_eq!(rows_of(e.pool(), old).await, 0);
    assert_eq!(rows_of(e.pool(), unfinished).await, before);
    assert_eq!(prune(e.pool(), 100).await, (0, 0, false), "the cancelled one is younger");
    e.clock(40 * DAY + 60).await;
    assert_eq!(prune(e.pool(), 100).await, (1, 0, false));
    assert_eq!(rows_of(e.pool(), cancelled).await, 0);
}

#[tokio::test]
async fn a_templates_own_retention_goes_before_the_settings_and_zero_keeps_for_ever() {
    let e = Engine::new().await;
    e.clock(0).await;
    let mut ids = Vec::new();
    for (version, days) in [("1", json!(0)), ("2", json!(1.5)), ("3", json!(100))] {
        let mut template = flow(&[("a", &[])]);
        template["version"] = json!(version);
        template["lifecycle"] = json!({"retention_days": days});
        e.apply(template).await;
        ids.push(finished(&e).await);
    }
    let gone = async |day: i32| {
        e.clock(day * DAY).await;
        prune(e.pool(), 100).await.0
    };
    assert_eq!([gone(1).await, gone(2).await, gone(99).await, gone(101).await], [0, 1, 0, 1]);
    assert_eq!(gone(20_000).await, 0);
    assert!(rows_of(e.pool(), ids[0]).await > 0);
    // And so do the settings for templates that say nothing.
    e.clock(0).await;
    let mut template = flow(&[("a", &[])]);
    template["version"] = json!("4");
    e.apply(template).await;
    let id = finished(&e).await;
    sqlx::query("update tasker.settings set retention_days = 0").execute(e.pool()).await.unwrap();
    assert_eq!(gone(20_000).await, 0);
    sqlx::query("update tasker.settings set retention_days = 7").execute(e.pool()).await.unwrap();
    assert_eq!(gone(8).await, 1);
    assert_eq!(rows_of(e.pool(), id).await, 0);
}

#[tokio::test]
async fn batches_are_bounded_and_skip_what_is_locked() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(finished(&e).await);
    }
    e.clock(31 * DAY).await;
    assert_eq!(prune(e.pool(), 3).await.0, 3);
    // One task is held, the step of another is: neither is waited for.
    let mut holder = e.pool().begin().await.unwrap();
    for lock in [
        "select from tasker.tasks where task_id = $1 for share",
        "select from tasker.steps where task_id = $1 for share",
    ] {
        let id = if lock.contains("tasks ") { ids[5] } else { ids[6] };
        sqlx::query(lock).bind(id).execute(&mut *holder).await.unwrap();
    }
    let mut pruner = e.pool().acquire().await.unwrap();
    sqlx::query("set lock_timeout = '2s'").execute(&mut *pruner).await.unwrap();
    let tasks: i32 = sqlx::query_scalar("select tasks from tasker.prune(100)")
        .fetch_one(&mut *pruner)
        .await
        .unwrap();
    assert_eq!(tasks, 2);
    holder.rollback().await.unwrap();
    assert_eq!(prune(e.pool(), 100).await.0, 2);
}

#[tokio::test]
async fn a_task_with_very_many_steps_is_a_batch_of_its_own() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    e.clock(0).await;
    let many = e.start().await;
    sqlx::query(
        "insert into tasker.steps (task_id, name, template_step, waiting_on, max_attempts, \
         updated_at, created_at)
         select $1, 'b_' || n, 'b', 9, 1, tasker.now(), tasker.now() from generate_series(1, 25) n",
    )
    .bind(many)
    .execute(e.pool())
    .await
    .unwrap();
    sqlx::query("select tasker.cancel_task($1)").bind(many).execute(e.pool()).await.unwrap();
    finished(&e).await;
    e.clock(31 * DAY).await;
    assert_eq!(prune(e.pool(), 2).await.0, 1, "27 steps are more than ten times p_max");
    assert_eq!(rows_of(e.pool(), many).await, 0);
    assert_eq!(prune(e.pool(), 2).await.0, 1);
}

#[tokio::test]
async fn closed_dead_letters_go_and_pending_ones_stay() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let mut entries = Vec::new();
    for _ in 0..2 {
        let id = e.start().await;
        let entry: Uuid = sqlx::query_scalar("select tasker.add_dead_letter($1)")
            .bind(id)
            .fetch_one(e.pool())
            .await
            .unwrap();
        entries.push(entry);
        e.drain().await;
    }
    e.clock(5 * DAY).await;
    sqlx::query("select tasker.update_dead_letter($1, 'cancelled')")
        .bind(entries[0])
        .execute(e.pool())
        .await
        .unwrap();
    e.clock(31 * DAY).await;
    assert_eq!(prune(e.pool(), 100).await, (2, 0, false), "an entry is as old as its closing");
    e.clock(36 * DAY).await;
    assert_eq!(prune(e.pool(), 100).await, (0, 1, false));
    let left: Vec<Uuid> = sqlx::query_scalar("select entry_id from tasker.dead_letters")
        .fetch_all(e.pool())
        .await
        .unwrap();
    assert_eq!(left, [entries[1]]);
    let gone = sqlx::query("select tasker.retry_dead_letter($1)")
        .bind(left[0])
        .execute(e.pool())
        .await
        .unwrap_err();
    assert_eq!(gone.as_database_error().unwrap().code().unwrap(), "TK004");
}

#[tokio::test]
async fn one_process_prunes_at_a_time() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    finished(&e).await;
    e.clock(31 * DAY).await;
    let mut other = e.pool().begin().await.unwrap();
    let first: i32 = sqlx::query_scalar("select tasks from tasker.prune()")
        .fetch_one(&mut *other)
        .await
        .unwrap();
    assert_eq!(first, 1);
    assert_eq!(prune(e.pool(), 100).await, (0, 0, true));
    other.rollback().await.unwrap();
    assert_eq!(prune(e.pool(), 100).await, (1, 0, false));
}

#[tokio::test]
async fn the_audit_of_a_task_cannot_go_before_the_task() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = finished(&e).await;
    for table in ["task_transitions", "step_transitions"] {
        let delete = format!("delete from tasker.{table} where task_id = $1");
        let refused =
            sqlx::query(AssertSqlSafe(delete)).bind(id).execute(e.pool()).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "TK024", "{table}");
    }
}

#[tokio::test]
async fn an_orchestrator_prunes_by_itself() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    let id = finished(&e).await;
    e.clock(31 * DAY).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(
        Orchestrator::builder(e.pool().clone()).build().unwrap().run(shutdown.clone()),
    );
    eventually("the old task to be gone", Duration::from_secs(20), async || {
        let rows = rows_of(e.pool(), id).await;
        if rows == 0 { Ok(()) } else { Err(rows) }
    })
    .await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
