//! Money moves between accounts exactly once, also when a step is claimed twice and both claims get
//! as far as their last statement.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pgtasker_client::{NewTask, calls};
use pgtasker_examples::{Engine, transfer};
use pgtasker_tests::{TestDb, eventually};
use pgtasker_worker::{CancellationToken, DbOptions, Worker, connect};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

async fn enqueue(pool: &PgPool, context: Value) -> Uuid {
    let task = NewTask::new(transfer::NAMESPACE, "transfer").context(context);
    calls::enqueue_task(pool, &task).await.unwrap()
}

async fn balances(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar("select balance from bank.accounts order by account_id")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_total_is_conserved_and_every_transfer_is_booked_once() {
    let db = TestDb::new().await;
    transfer::install(&db.pool, 5, 1_000).await.unwrap();
    let mut engine = Engine::start(&db.url, transfer::register).await.unwrap();
    let contexts = transfer::contexts(5, 200, 1);
    let work = async {
        let tasks =
            calls::enqueue_tasks(&db.pool, transfer::NAMESPACE, "transfer", &contexts).await?;
        let mut complete = Vec::new();
        for task in tasks {
            let status = calls::wait(&db.pool, task, SOON).await?;
            assert!(status.is_settled());
            complete.push(status.succeeded());
        }
        Ok(complete)
    };
    let complete = engine.run(work).await.unwrap();
    engine.stop().await.unwrap();
    let done = complete.iter().filter(|done| **done).count();
    assert!(done > 50 && done < 200, "{done}: some transfers are of more than there is");
    assert_eq!(transfer::total(&db.pool).await.unwrap(), 5_000);
    assert_eq!(transfer::doubled(&db.pool).await.unwrap(), 0);
    let entries: i64 =
        sqlx::query_scalar("select count(*) from bank.entries").fetch_one(&db.pool).await.unwrap();
    assert_eq!(
        entries,
        2 * i64::try_from(done).unwrap(),
        "two bookings for each, and none for what was refused"
    );
    // The balances are those of the transfers that are complete.
    let mut expected = vec![1_000; 5];
    for (context, _) in contexts.iter().zip(&complete).filter(|(_, done)| **done) {
        let account = |key: &str| usize::try_from(context[key].as_u64().unwrap()).unwrap() - 1;
        expected[account("from")] -= context["amount"].as_i64().unwrap();
        expected[account("to")] += context["amount"].as_i64().unwrap();
    }
    assert_eq!(balances(&db.pool).await, expected);
}

#[tokio::test]
async fn a_transfer_of_more_than_there_is_fails_for_good_and_moves_nothing() {
    let db = TestDb::new().await;
    transfer::install(&db.pool, 2, 10).await.unwrap();
    let mut engine = Engine::start(&db.url, transfer::register).await.unwrap();
    let task = enqueue(&db.pool, json!({"from": 1, "to": 2, "amount": 11})).await;
    let status = engine.run(async { Ok(calls::wait(&db.pool, task, SOON).await?) }).await.unwrap();
    engine.stop().await.unwrap();
    assert_eq!(status.error.unwrap()["code"], "cannot_book");
    assert_eq!(balances(&db.pool).await, [10, 10]);
}

/// How many backends wait for a row of an account.
async fn waiting(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and \
         wait_event_type = 'Lock' and query like '%bank.accounts%'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Two workers have claimed one step, as the first one's lease ran out in the midst of its work,
/// and both wait to book. The first to get there is the late one.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_claimed_twice_is_booked_once() {
    let db = TestDb::new().await;
    transfer::install(&db.pool, 2, 100).await.unwrap();
    let mut engine = Engine::start(&db.url, transfer::register).await.unwrap();
    let pool = connect(&DbOptions::new(&db.url, "second worker").max_connections(8)).await.unwrap();
    let second = transfer::register(Worker::builder(pool)).build().unwrap();
    let stop = CancellationToken::new();
    let second = tokio::spawn(second.run(stop.clone()));

    let mut holder = db.pool.begin().await.unwrap();
    sqlx::query("select from bank.accounts for update").execute(&mut *holder).await.unwrap();
    let task = enqueue(&db.pool, json!({"from": 1, "to": 2, "amount": 7})).await;
    for claims in 1..=2 {
        eventually("the claims to wait for the account", SOON, async || {
            match waiting(&db.pool).await {
                n if n == claims => Ok(()),
                n => Err(n),
            }
        })
        .await;
        // The lease runs out.
        if claims == 1 {
            sqlx::query(
                "select pgmq.set_vt('worker_bank_queue', msg_id, 0) from pgmq.q_worker_bank_queue",
            )
            .execute(&db.pool)
            .await
            .unwrap();
        }
    }
    holder.rollback().await.unwrap();
    let status = engine.run(async { Ok(calls::wait(&db.pool, task, SOON).await?) }).await.unwrap();
    assert!(status.succeeded(), "{status:?}");
    stop.cancel();
    second.await.unwrap().unwrap();
    engine.stop().await.unwrap();

    assert_eq!(balances(&db.pool).await, [93, 107]);
    assert_eq!(transfer::doubled(&db.pool).await.unwrap(), 0);
    let (claim_no, attempt): (i32, i32) = sqlx::query_as(
        "select claim_no, attempt from tasker.steps where task_id = $1 and name = 'withdraw'",
    )
    .bind(task)
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!(
        (claim_no, attempt),
        (2, 1),
        "claimed twice, and neither the loss nor the late claim's failure is an attempt"
    );
    let booked_by: i64 = sqlx::query_scalar(
        "select count(*) from bank.entries e join tasker.step_transitions s on s.xmin = e.xmin \
         and s.task_id = e.task_id
          where s.to_state = 'enqueued_for_orchestration'",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!(booked_by, 2, "each booking was written by the transaction that completed its step");
}
