//! temporary
#![allow(clippy::unwrap_used)]
use std::time::Instant;
#[tokio::test]
async fn timing() {
    let t = Instant::now();
    let server = tasker_tests::start_server(&[]).await;
    eprintln!("server {:?}", t.elapsed());
    let t = Instant::now();
    let mut c = <sqlx::PgConnection as sqlx::Connection>::connect(&server.admin_url()).await.unwrap();
    eprintln!("connect {:?}", t.elapsed());
    let t = Instant::now();
    sqlx::raw_sql("create database x strategy file_copy").execute(&mut c).await.unwrap();
    eprintln!("create {:?}", t.elapsed());
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&server.url("x")).await.unwrap();
    let t = Instant::now();
    tasker_queues::migrate(&pool).await.unwrap();
    eprintln!("migrate {:?}", t.elapsed());
    pool.close().await;
    let t = Instant::now();
    sqlx::raw_sql("create database y template x strategy file_copy").execute(&mut c).await.unwrap();
    eprintln!("copy {:?}", t.elapsed());
    let t = Instant::now();
    sqlx::raw_sql("create database z template x strategy wal_log").execute(&mut c).await.unwrap();
    eprintln!("copy wal {:?}", t.elapsed());
    let t = Instant::now();
    sqlx::raw_sql("drop database y with (force)").execute(&mut c).await.unwrap();
    eprintln!("drop {:?}", t.elapsed());
}
