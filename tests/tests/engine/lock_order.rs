//! Each statement locks several messages in the order of their ids, however they lie in the
//! table: a worker extends the leases of steps whose results it is just submitting, and the two met
//! in a deadlock before. That one waits for nobody by now, see locks.rs.

use pgtasker_tests::{engine::Engine, eventually};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::time::Duration;

const STEPS: i64 = 300;
const CALLS: [&str; 3] = [
    "select count(*) from tasker.submit_results($1, $2)",
    "select count(*) from tasker.complete_steps($1, $2)",
    "select count(*) from tasker.release_steps($1, $2)",
];

/// Messages that nobody has locked.
async fn free(connection: &mut PgConnection) -> Vec<i64> {
    sqlx::query_scalar(
        "select m.msg_id from (select msg_id from pgmq.q_worker_test_queue for update skip \
         locked) m order by 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn messages_are_locked_in_the_order_of_their_ids() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    // So that it is seen to wait.
    e.break_function("delete_messages", "100ms", "20s").await;
    sqlx::query("select tasker.enqueue_task('test', 'flow') from generate_series(1, $1)")
        .bind(STEPS)
        .execute(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    let claims: Vec<Value> = sqlx::query_scalar(
        "select jsonb_build_object('task_id', task_id, 'step', step, 'claim_no', claim_no, \
         'outcome', '{\"type\": \"success\"}'::jsonb)
           from tasker.claim_steps('test', $1, 1000)",
    )
    .bind(e.worker)
    .fetch_all(e.pool())
    .await
    .unwrap();
    // The even ones lie behind the odd ones from now on.
    sqlx::query(
        "select pgmq.set_vt('worker_test_queue', msg_id, 60) from \
        pgmq.q_worker_test_queue where msg_id % 2 = 0",
    )
    .execute(e.pool())
    .await
    .unwrap();
    sqlx::query("analyze pgmq.q_worker_test_queue").execute(e.pool()).await.unwrap();
    for call in CALLS {
        let mut holder = e.pool().begin().await.unwrap();
        let middle = STEPS / 2;
        sqlx::query("select from pgmq.q_worker_test_queue where msg_id = $1 for update")
            .bind(middle)
            .execute(&mut *holder)
            .await
            .unwrap();
        let mut caller = e.pool().begin().await.unwrap();
        let pid: i32 =
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *caller).await.unwrap();
        let calling = {
            let (worker, claims) = (e.worker, json!(claims));
            tokio::spawn(async move {
                let done = sqlx::query(call).bind(worker).bind(claims).execute(&mut *caller).await;
                caller.rollback().await.unwrap();
                done
            })
        };
        eventually(
            "the call to wait for the message in the middle",
            Duration::from_secs(10),
            || async {
                sqlx::query_scalar::<_, bool>("select cardinality(pg_blocking_pids($1)) > 0")
                    .bind(pid)
                    .fetch_one(e.pool())
                    .await
                    .unwrap()
            },
        )
        .await;
        let mut looker = e.pool().begin().await.unwrap();
        let expected: Vec<i64> = (middle + 1..=STEPS).collect();
        assert_eq!(free(&mut looker).await, expected, "{call}");
        looker.rollback().await.unwrap();
        holder.rollback().await.unwrap();
        calling.await.unwrap().unwrap();
    }
}
