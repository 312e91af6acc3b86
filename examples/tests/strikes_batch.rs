//! The file of strikes as a batch: its totals are those of the file, also when everything that
//! works on it dies in the middle.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pgtasker_client::{NewTask, calls};
use pgtasker_core::template;
use pgtasker_examples::{Engine, register, run_one, strikes_batch};
use pgtasker_tests::{TestDb, eventually};
use pgtasker_worker::{Batchable, StepContext, StepError, StepOutcome, WorkerBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
/// Steps at once of the worker that is killed, and so the instances that it takes with it.
const STUCK: i64 = 8;

/// How often instances were claimed and attempted: (claims, attempts, how many of them).
async fn claims(pool: &PgPool) -> Vec<(i32, i32, i64)> {
    sqlx::query_as(
        "select claim_no, attempt, count(*) from tasker.steps where instance is not null group by \
         1, 2 order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// The one batch: instances, complete ones, items done, and items in all.
async fn batch(pool: &PgPool) -> (i64, i64, i64, i64) {
    sqlx::query_as(
        "select instances::bigint, complete::bigint, items_done, items_total from \
         tasker.batch_overview",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_totals_of_the_batch_are_those_of_the_file() {
    let db = TestDb::new().await;
    let results = run_one(&db.url, strikes_batch::TEMPLATE, &[json!({})], register).await.unwrap();
    assert_eq!(results, [strikes_batch::expected(&Value::Null)]);
    assert_eq!(batch(&db.pool).await, (200, 200, 10_000, 10_000));
    // 50 rows by twenties: two checkpoints, then the result.
    assert_eq!(claims(&db.pool).await, [(3, 1, 200)]);
    let inline: i32 = sqlx::query_scalar("select max_inline_results from tasker.settings")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(inline < 200, "the results came in pages, not with the claim");
}

/// Does not get on after the second checkpoint, in every eighth instance.
async fn stuck(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let number: u32 = ctx.step().trim_start_matches("add_").parse()?;
    let last = ctx.last_checkpoint::<u64, Value>()?;
    if number.is_multiple_of(8) && last.is_some_and(|last| last.items_processed == 40) {
        std::future::pending::<()>().await;
    }
    strikes_batch::add(ctx).await
}

/// A worker that dies with the lease of what it holds far from its end.
fn doomed(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .namespace("examples")
        .concurrency(STUCK as usize)
        .lease(Duration::from_secs(3_600))
        .handler("strikes_batch_cut", strikes_batch::cut)
        .handler("strikes_batch_add", stuck)
        .handler("strikes_batch_total", strikes_batch::total)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_goes_on_from_the_checkpoints_of_one_that_died() {
    let db = TestDb::new().await;
    let file =
        template::TemplateFile::parse("strikes_batch.yaml", strikes_batch::TEMPLATE).unwrap();
    template::apply_template(&db.pool, file.definition(), None).await.unwrap();
    let mut engine = Engine::start(&db.url, doomed).await.unwrap();
    let task = NewTask::new("examples", "strikes_batch");
    let work = async {
        let task = calls::enqueue_task(&db.pool, &task).await?;
        // And nothing else in progress: what it has done is stored.
        eventually("the worker to be stuck with checkpoints", SOON, async || {
            let seen: (i64, i64) = sqlx::query_as(
                "select count(*) filter (where instance % 8 = 0 and checkpoint ->> \
                 'items_processed' = '40'), count(*)
                   from tasker.step_overview where state = 'in_progress'",
            )
            .fetch_one(&db.pool)
            .await
            .unwrap();
            if seen == (STUCK, STUCK) { Ok(()) } else { Err(seen) }
        })
        .await;
        Ok(task)
    };
    let task = engine.run(work).await.unwrap();
    drop(engine);
    eventually("its connections to be closed", SOON, async || {
        let open: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and \
             application_name like 'tasker %'",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        if open == 0 { Ok(()) } else { Err(open) }
    })
    .await;
    let (instances, complete, done, total) = batch(&db.pool).await;
    assert!(
        instances == 200 && complete < 200 && done > 0 && done < total,
        "in the middle: {done} of {total}"
    );

    // The leases run out.
    sqlx::query(
        "select pgmq.set_vt('worker_examples_queue', msg_id, 0) from pgmq.q_worker_examples_queue",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let mut engine =
        Engine::start(&db.url, |builder| register(builder.namespace("examples"))).await.unwrap();
    let status = engine.run(async { Ok(calls::wait(&db.pool, task, SOON).await?) }).await.unwrap();
    engine.stop().await.unwrap();
    assert!(status.succeeded(), "{status:?}");
    let result = calls::task_result(&db.pool, task).await.unwrap().unwrap();
    assert_eq!(result, strikes_batch::expected(&Value::Null));
    assert_eq!(batch(&db.pool).await, (200, 200, 10_000, 10_000));
    // The death cost a claim of each step that the worker held, and no attempt. Those that began
    // at 0, instead of at the checkpoint, would have needed two claims more. In its last moment it
    // may have claimed others.
    let claims = claims(&db.pool).await;
    let [(3, 1, _), (4, 1, lost)] = claims[..] else { panic!("{claims:?}") };
    assert!((STUCK..200 - STUCK).contains(&lost), "{claims:?}");
}
