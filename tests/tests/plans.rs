//! The hot functions find their rows by index, whatever the size of the tables. PostgreSQL counts sequential
//! scans within a transaction, so that a plan that changes shows itself here and not in production.

use rstest::rstest;
use serde_json::json;
use sqlx::{PgConnection, Row};
use tasker_tests::engine::Engine;

/// Rows that any scan from end to end of these tables would read; small ones may be scanned.
async fn sequential_reads(connection: &mut PgConnection) -> i64 {
    sqlx::query(
        "select coalesce(sum(seq_tup_read), 0)::bigint as rows from pg_stat_xact_user_tables
          where schemaname = 'tasker' and relname in ('steps', 'tasks', 'step_transitions', 'task_transitions')",
    )
    .fetch_one(connection)
    .await
    .unwrap()
    .get("rows")
}

/// One task of `width` parallel steps and one that joins them, and `others` tasks beside it.
#[rstest]
#[case::fresh_tables(10, 10, false)]
#[case::fifty_thousand_steps_in_a_task(50_000, 0, false)]
#[case::fifty_thousand_steps_in_a_task_analyzed(50_000, 0, true)]
#[case::many_tasks_analyzed(10, 50_000, true)]
#[tokio::test]
async fn a_batch_reads_only_its_own_rows(
    #[case] width: usize,
    #[case] others: usize,
    #[case] analyzed: bool,
) {
    let e = Engine::new().await;
    let names: Vec<String> = (0..width).map(|n| format!("s{n}")).collect();
    e.apply(json!({"namespace": "test", "name": "flow", "version": "1",
                   "steps": [{"name": "a", "handler": {"callable": "noop"}}, {"name": "b", "dependencies": ["a"], "handler": {"callable": "noop"}}]}))
        .await;
    widen(&e, &names).await;
    let contexts = vec![json!({}); others + 1];
    sqlx::query("select tasker.enqueue_tasks('test', 'flow', $1)")
        .bind(&contexts)
        .execute(e.pool())
        .await
        .unwrap();
    for _ in 0..=others / 10_000 {
        sqlx::query("select * from tasker.initialize_tasks((select coalesce(jsonb_agg(jsonb_build_object('msg_id', r.msg_id, 'task_id', r.task_id)), '[]') from tasker.take_task_requests(10001) r))")
            .execute(e.pool())
            .await
            .unwrap();
    }
    if analyzed {
        sqlx::query("analyze tasker.steps, tasker.tasks, tasker.step_transitions")
            .execute(e.pool())
            .await
            .unwrap();
    }
    // Each call in a transaction of its own, several times, so that a plan made anew would show.
    for round in 0..7 {
        let mut tx = e.pool().begin().await.unwrap();
        let claims = sqlx::query(
            "select task_id, step, claim_no from tasker.claim_steps('test', gen_random_uuid(), 50)",
        )
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        assert!(!claims.is_empty());
        let results: Vec<_> = claims
            .iter()
            .map(|c| json!({"task_id": c.get::<uuid::Uuid, _>(0), "step": c.get::<String, _>(1), "claim_no": c.get::<i32, _>(2), "outcome": {"type": "success"}}))
            .collect();
        sqlx::query("select * from tasker.submit_results(gen_random_uuid(), $1)")
            .bind(json!(results))
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("select * from tasker.process_step_results(50)").execute(&mut *tx).await.unwrap();
        sqlx::query("select * from tasker.enqueue_ready_steps(50)").execute(&mut *tx).await.unwrap();
        let read = sequential_reads(&mut tx).await;
        assert_eq!(read, 0, "round {round}: rows read by sequential scans");
        tx.commit().await.unwrap();
    }
}

/// Makes the template's first level as wide as asked, without a definition of that size.
async fn widen(e: &Engine, names: &[String]) {
    sqlx::query(
        "insert into tasker.template_steps
         select template_id, n, 2, 0, type, handler, config, max_attempts, backoff, backoff_base_ms, max_backoff_ms, jitter, timeout, 0, false
           from tasker.template_steps, unnest($1::text[]) n where name = 'a'",
    )
    .bind(names)
    .execute(e.pool())
    .await
    .unwrap();
}

/// Updates of steps stay free of index work (HOT), which is what keeps them cheap.
#[tokio::test]
async fn moves_of_a_step_are_hot_updates() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"])]).await;
    let contexts = vec![json!({}); 500];
    sqlx::query("select tasker.enqueue_tasks('test', 'flow', $1)")
        .bind(&contexts)
        .execute(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    let mut tx = e.pool().begin().await.unwrap();
    for _ in 0..20 {
        sqlx::query("select * from tasker.submit_results(gen_random_uuid(), (select coalesce(jsonb_agg(jsonb_build_object('task_id', c.task_id, 'step', c.step, 'claim_no', c.claim_no, 'outcome', '{\"type\": \"success\"}'::jsonb)), '[]') from tasker.claim_steps('test', gen_random_uuid(), 100) c))")
            .execute(&mut *tx).await.unwrap();
        sqlx::query("select * from tasker.process_step_results(100)").execute(&mut *tx).await.unwrap();
    }
    let (updates, hot): (i64, i64) = sqlx::query_as("select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where schemaname = 'tasker' and relname = 'steps'").fetch_one(&mut *tx).await.unwrap();
    // One transaction cannot prune its own old versions, so this is the worst case.
    assert!(updates >= 7_000 && hot as f64 / updates as f64 > 0.6, "{hot} of {updates}");
}
