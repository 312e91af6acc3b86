//! Updates of steps stay free of index work (HOT), which is what keeps them cheap. On a server of
//! its own, as a long transaction in any database keeps old versions from being pruned.

use pgtasker_tests::{TestDb, engine::Engine, start_server};
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn moves_of_a_step_are_hot_updates() {
    let server = start_server(&[]).await;
    let e = Engine { db: TestDb::on(&server).await, worker: Uuid::now_v7() };
    e.apply_flow(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"])]).await;
    let contexts = vec![json!({}); 500];
    sqlx::query("select tasker.enqueue_tasks('test', 'flow', $1)")
        .bind(&contexts)
        .execute(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    // One connection and a commit a call, as in a worker, so that old versions can be pruned on the
    // way.
    let mut connection = e.pool().acquire().await.unwrap();
    for _ in 0..20 {
        let results: serde_json::Value = sqlx::query_scalar(
            "select coalesce( \
                 jsonb_agg(jsonb_build_object( \
                     'task_id', c.task_id, \
                     'step', c.step, \
                     'claim_no', c.claim_no, \
                     'outcome', '{\"type\": \"success\"}'::jsonb \
                 )), \
                 '[]' \
             ) \
             from tasker.claim_steps('test', gen_random_uuid(), 100) c",
        )
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        sqlx::query("select * from tasker.submit_results(gen_random_uuid(), $1)")
            .bind(results)
            .execute(&mut *connection)
            .await
            .unwrap();
        sqlx::query("select * from tasker.process_step_results(100)")
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    sqlx::query("select pg_stat_force_next_flush()").execute(&mut *connection).await.unwrap();
    let (updates, hot): (i64, i64) = sqlx::query_as(
        "select n_tup_upd, n_tup_hot_upd \
         from pg_stat_user_tables \
         where schemaname = 'tasker' and relname = 'steps'",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert!(updates >= 7_000 && hot as f64 / updates as f64 > 0.8, "{hot} of {updates}");
}
