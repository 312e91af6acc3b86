//! The example on real data: 640 tasks over the 10,000 records, checked against the file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pgtasker_client::{NewTask, calls};
use pgtasker_examples::strikes::{self, Run, Strikes, Summary, TOTAL_COST};
use pgtasker_tests::TestDb;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Enqueues the whole file, waits, and sums up with all reports.
async fn run(pool: &PgPool) -> pgtasker_examples::Result<(Run, Summary)> {
    let run = strikes::enqueue(pool).await?;
    let mut last = 0;
    strikes::wait(pool, &run, PATIENCE, |progress| {
        assert!(progress.steps_done >= last && progress.steps_done <= progress.steps);
        last = progress.steps_done;
    })
    .await?;
    assert_eq!(last, 3_200);
    let summary = strikes::summarize(pool, &run, 640).await?;
    Ok((run, summary))
}

/// The same for three airports and years.
async fn run_again(pool: &PgPool) -> pgtasker_examples::Result<(Run, Summary)> {
    let keys = Strikes::all()?.keys().take(3);
    let contexts: Vec<Value> =
        keys.map(|(airport, year)| json!({"airport": airport, "year": year})).collect();
    let tasks = calls::enqueue_tasks(pool, "strikes", "airport_year", &contexts).await?;
    let run = Run { id: tasks[0], tasks };
    strikes::wait(pool, &run, PATIENCE, |_| ()).await?;
    let summary = strikes::summarize(pool, &run, 3).await?;
    Ok((run, summary))
}

/// The cost as a plain sum over the column of the file, without the types of the example.
fn cost_of_the_file() -> i64 {
    let text = include_str!("../data/birdstrikes.csv");
    let column =
        text.lines().next().unwrap().split(',').position(|name| name == "Cost Total $").unwrap();
    text.lines()
        .skip(1)
        .map(|line| line.split(',').nth(column).unwrap().parse::<i64>().unwrap())
        .sum()
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sums_over_all_reports_agree_with_the_file() {
    let db = TestDb::new().await;
    strikes::install(&db.pool).await.unwrap();
    let mut engine = strikes::start(&db.url).await.unwrap();
    let (first, summary) = engine.run(run(&db.pool)).await.unwrap();
    assert_eq!((cost_of_the_file(), TOTAL_COST), (40_545_276, 40_545_276));
    assert_eq!(
        (summary.total_cost, summary.file_cost, summary.wrong_reports),
        (TOTAL_COST, TOTAL_COST, 0)
    );
    assert_eq!(
        (summary.tasks, summary.steps, summary.strikes, summary.top.len()),
        (640, 3_200, 10_000, 640)
    );
    assert!(summary.agrees());
    assert!(summary.steps_per_second > 0.0 && summary.handover_ms.p50 >= summary.unblock_ms.p50);

    // The order of the top, and one report in full.
    assert!(summary.top.is_sorted_by(|a, b| a.cost >= b.cost));
    let task = &first.tasks[0];
    let (airport, year) = Strikes::all().unwrap().keys().next().unwrap();
    let result = calls::task_result(&db.pool, *task).await.unwrap().unwrap();
    assert_eq!(result, strikes::expected(&json!({"airport": airport, "year": year})));

    // The tables say the same.
    assert_eq!(
        number(&db.pool, "select sum(cost_total)::bigint from strikes.strikes").await,
        TOTAL_COST
    );
    assert_eq!(number(&db.pool, "select sum(cost)::bigint from strikes.reports").await, TOTAL_COST);

    // A later run has figures of its own, and what it loads again is there once.
    let (second, again) = engine.run(run_again(&db.pool)).await.unwrap();
    engine.stop().await.unwrap();
    assert_eq!((again.tasks, again.steps, again.wrong_reports), (3, 15, 0));
    assert!(again.elapsed_seconds < summary.elapsed_seconds && !second.tasks.contains(task));
    assert_eq!(number(&db.pool, "select count(*) from strikes.strikes").await, 10_000);
    assert_eq!(number(&db.pool, "select count(*) from strikes.reports").await, 640);
    assert_eq!(number(&db.pool, "select sum(depth)::bigint from tasker.queue_overview").await, 0);
}

#[tokio::test]
async fn a_pair_that_is_not_in_the_file_fails_for_good() {
    let db = TestDb::new().await;
    strikes::install(&db.pool).await.unwrap();
    strikes::install(&db.pool).await.unwrap();
    let mut engine = strikes::start(&db.url).await.unwrap();
    let task = NewTask::new("strikes", "airport_year")
        .context(json!({"airport": "NOWHERE", "year": 1990}));
    let status = engine
        .run(async {
            let id = calls::enqueue_task(&db.pool, &task).await?;
            Ok(calls::wait(&db.pool, id, PATIENCE).await?)
        })
        .await
        .unwrap();
    engine.stop().await.unwrap();
    assert!(!status.succeeded());
    let error: Value = status.error.unwrap();
    assert_eq!(error["code"], "no_such_records", "{error}");
}
