//! The floor: what raw pgmq does on this machine and database, to hold the engine's figures
//! against.

use super::BenchError;
use sqlx::PgPool;
use std::time::Instant;

const QUEUE: &str = "tasker_bench_floor";
const MESSAGES: usize = 5_000;
const BATCH: usize = 100;

/// Messages a second when one connection sends, reads, and deletes them in batches of 100, each
/// call a commit.
pub async fn messages_per_second(pool: &PgPool) -> Result<f64, BenchError> {
    let mut connection = pool.acquire().await?;
    sqlx::query("select pgmq.create($1)").bind(QUEUE).execute(&mut *connection).await?;
    let message = serde_json::json!({"task_id": uuid::Uuid::now_v7(), "step": "reserve"});
    let batch = vec![message; BATCH];
    let started = Instant::now();
    for _ in 0..MESSAGES / BATCH {
        sqlx::query("select pgmq.send_batch($1, $2)")
            .bind(QUEUE)
            .bind(&batch)
            .execute(&mut *connection)
            .await?;
        let ids: Vec<i64> = sqlx::query_scalar("select msg_id from pgmq.read($1, 30, $2)")
            .bind(QUEUE)
            .bind(BATCH as i32)
            .fetch_all(&mut *connection)
            .await?;
        sqlx::query("select pgmq.delete($1, $2)")
            .bind(QUEUE)
            .bind(&ids)
            .execute(&mut *connection)
            .await?;
    }
    let rate = MESSAGES as f64 / started.elapsed().as_secs_f64();
    sqlx::query("select pgmq.drop_queue($1)").bind(QUEUE).execute(&mut *connection).await?;
    Ok(rate)
}
