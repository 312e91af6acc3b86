//! The support library itself: each test has its database, and the tests of a process share a
//! server.

use pgtasker_tests::{TestDb, eventually, start_server};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_test_has_a_migrated_database_of_its_own() {
    let started = Instant::now();
    let first = TestDb::new().await;
    let between = Instant::now();
    let second = TestDb::new().await;
    println!("first {:?}, second {:?}", between - started, between.elapsed());
    sqlx::raw_sql("create table mine (n int)").execute(&first.pool).await.unwrap();
    let there: Option<String> = sqlx::query_scalar("select to_regclass('mine')::text")
        .fetch_one(&second.pool)
        .await
        .unwrap();
    assert_eq!(there, None);
    let schema: Option<String> = sqlx::query_scalar("select to_regclass('tasker.tasks')::text")
        .fetch_one(&second.pool)
        .await
        .unwrap();
    assert_eq!(schema.as_deref(), Some("tasker.tasks"));
}

#[tokio::test]
async fn databases_of_ended_tests_do_not_pile_up() {
    let mut last = TestDb::new().await;
    for _ in 0..60 {
        last = TestDb::new().await;
    }
    let count: i64 =
        sqlx::query_scalar("select count(*) from pg_database where datname like 'test\\_%'")
            .fetch_one(&last.pool)
            .await
            .unwrap();
    // Those that are left alone, and those in use by this test and the ones beside it.
    assert!(count <= 40, "{count}");
}

#[tokio::test]
async fn a_server_of_its_own_comes_back_after_a_crash() {
    let mut server = start_server(&[("work_mem", "5MB")]).await;
    let db = TestDb::on(&server).await;
    let work_mem: String = sqlx::query_scalar("show work_mem").fetch_one(&db.pool).await.unwrap();
    assert_eq!(work_mem, "5MB");
    server.restart_killed().await.unwrap();
    eventually("the pool to have a new connection", Duration::from_secs(10), async || {
        sqlx::query("select 1").execute(&db.pool).await.map(drop)
    })
    .await;
    server.stop().await.unwrap();
}
