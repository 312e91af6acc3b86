//! Batches: instances by the cursors of their batchable, what becomes of them, and the step that
//! sees them all.

use pgtasker_tests::{
    engine::{Engine, growing_flow, pick},
    invariants::assert_invariants,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const BATCH: &[(&str, &str, &[&str])] = &[
    ("split", "batchable", &[]),
    ("work", "batch_worker", &["split"]),
    ("join", "deferred", &["work"]),
];

/// Far more than it takes; twenty times less than a search for each instance would.
const SOON: Duration = Duration::from_secs(3);

pub(crate) async fn engine(strategy: &str) -> Engine {
    let e = Engine::new().await;
    let mut template = growing_flow(BATCH);
    template["steps"][1]["failure_strategy"] = json!(strategy);
    e.apply(template).await;
    e
}

/// A task whose batch has these cursors.
pub(crate) async fn batch(e: &Engine, cursors: Value) -> Uuid {
    let id = e.start().await;
    let split = pick(&e.claim(9).await, "split");
    assert_eq!(e.split(&split, cursors).await, "accepted");
    e.process().await;
    id
}

/// Refuses the batch, and returns what its step then keeps as its error.
async fn refused(e: &Engine, outcome: Value) -> String {
    let id = e.start().await;
    let split = pick(&e.claim(9).await, "split");
    assert_eq!(e.submit(&split, outcome).await, "rejected");
    e.process().await;
    assert_eq!(e.graph(id).await, ["join undecided", "split error", "work undecided"]);
    assert_invariants(e.pool()).await;
    e.text("select error ->> 'message' from tasker.steps where task_id = $1", id).await
}

#[tokio::test]
async fn each_cursor_has_an_instance_and_the_next_step_sees_their_results_in_order() {
    let e = engine("fail_fast").await;
    let id = batch(&e, json!([{"start": 0, "end": 10}, "b", 3])).await;
    assert_eq!(
        e.graph(id).await,
        [
            "join pending",
            "split complete",
            "work_001 enqueued",
            "work_002 enqueued",
            "work_003 enqueued"
        ]
    );
    let claims = e.claim(9).await;
    let inputs: Vec<_> = claims.iter().map(|c| c.inputs.clone().unwrap()).collect();
    assert_eq!(inputs, [json!({"start": 0, "end": 10}), json!("b"), json!(3)]);
    for claim in claims.iter().rev() {
        e.succeed(claim, json!(claim.step)).await;
        e.process().await;
    }
    let join = pick(&e.claim(9).await, "join");
    assert_eq!(
        join.parents,
        json!({
            "work": {
                "instances": 3,
                "complete": 3,
                "failed": 0,
                "results": ["work_001", "work_002", "work_003"],
            },
        })
    );
    assert_invariants(e.pool()).await;
    e.succeed(&join, json!(1)).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn an_empty_batch_goes_on_with_an_empty_set() {
    let e = engine("fail_fast").await;
    let id = batch(&e, json!([])).await;
    assert_eq!(e.graph(id).await, ["join enqueued", "split complete", "work exists"]);
    assert_invariants(e.pool()).await;
    let join = pick(&e.claim(9).await, "join");
    assert_eq!(
        join.parents,
        json!({"work": {"instances": 0, "complete": 0, "failed": 0, "results": []}})
    );
    e.succeed(&join, json!(1)).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn an_empty_batch_at_the_end_of_a_task_ends_it() {
    let e = Engine::new().await;
    e.apply(growing_flow(&BATCH[..2])).await;
    let id = batch(&e, json!([])).await;
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn a_batch_that_does_not_exist_is_not_among_the_parents() {
    let e = Engine::new().await;
    e.apply(growing_flow(&[
        ("choose", "decision", &[]),
        ("split", "batchable", &["choose"]),
        ("work", "batch_worker", &["split"]),
        ("other", "standard", &["choose"]),
        ("join", "deferred", &["work", "other"]),
    ]))
    .await;
    let id = e.start().await;
    e.decide(&pick(&e.claim(9).await, "choose"), &["other"]).await;
    e.process().await;
    assert_eq!(
        e.graph(id).await,
        [
            "choose complete",
            "join pending",
            "other enqueued",
            "split not_chosen",
            "work not_chosen"
        ]
    );
    e.succeed(&pick(&e.claim(9).await, "other"), json!(1)).await;
    e.process().await;
    assert_eq!(pick(&e.claim(9).await, "join").parents, json!({"other": 1}));
}

#[tokio::test]
async fn the_cursors_are_for_one_of_several_workers_and_the_others_have_none() {
    let e = Engine::new().await;
    e.apply(growing_flow(&[
        ("split", "batchable", &[]),
        ("fast", "batch_worker", &["split"]),
        ("slow", "batch_worker", &["split"]),
        ("join", "deferred", &["fast", "slow"]),
    ]))
    .await;
    let id = e.start().await;
    let split = pick(&e.claim(9).await, "split");
    let outcome = json!({"type": "batches", "worker_step": "slow", "cursors": [1, 2]});
    assert_eq!(e.submit(&split, outcome).await, "accepted");
    e.process().await;
    assert_eq!(
        e.graph(id).await,
        ["fast exists", "join pending", "slow_001 enqueued", "slow_002 enqueued", "split complete"]
    );
    assert_invariants(e.pool()).await;
    for claim in e.claim(9).await {
        e.succeed(&claim, json!(1)).await;
    }
    e.process().await;
    let join = pick(&e.claim(9).await, "join");
    assert_eq!(
        join.parents["fast"],
        json!({"instances": 0, "complete": 0, "failed": 0, "results": []})
    );
    assert_eq!(
        join.parents["slow"],
        json!({"instances": 2, "complete": 2, "failed": 0, "results": [1, 1]})
    );

    let id = e.start().await;
    let split = pick(&e.claim(9).await, "split");
    assert_eq!(e.split(&split, json!([1])).await, "rejected", "it has to say whose they are");
    e.process().await;
    assert_eq!(e.step_state(id, "split").await, "error");
}

#[tokio::test]
async fn names_and_pages_go_on_beyond_999() {
    let e = engine("fail_fast").await;
    let id = batch(&e, json!((1..=1001).collect::<Vec<_>>())).await;
    for claim in e.claim(2000).await {
        let cursor = claim.inputs.clone().unwrap();
        let name = format!("work_{:03}", cursor.as_i64().unwrap());
        assert_eq!(claim.step, name);
        e.succeed(&claim, cursor).await;
    }
    e.process().await;
    e.process().await;
    let page = async |after: i32, max: i32| -> Vec<(i32, String, Value)> {
        sqlx::query_as(
            "select instance, step, result from tasker.batch_results($1, 'work', $2, $3)",
        )
        .bind(id)
        .bind(after)
        .bind(max)
        .fetch_all(e.pool())
        .await
        .unwrap()
    };
    let row = |n: i32| (n, format!("work_{n:03}"), json!(n));
    assert_eq!(page(998, 2).await, [row(999), row(1000)]);
    assert_eq!(page(1000, 2).await, [row(1001)], "fewer than asked for: the end");
    assert_eq!(
        page(0, 100_000).await,
        (1..=1001).map(row).collect::<Vec<_>>(),
        "by number, not by name"
    );
    let join = pick(&e.claim(9).await, "join");
    assert_eq!(
        join.parents["work"],
        json!({"instances": 1001, "complete": 1001, "failed": 0, "results": null})
    );
}

#[tokio::test]
async fn cursors_that_cannot_be_taken_fail_the_batchable_and_say_why() {
    let e = engine("fail_fast").await;
    sqlx::raw_sql("update tasker.settings set max_instances = 3").execute(e.pool()).await.unwrap();
    assert_eq!(
        refused(&e, json!({"type": "batches", "cursors": [1, 2, 3, 4]})).await,
        "\"split\" gave 4 cursors; the limit is 3 (max_instances in tasker.settings): let each \
         cover more"
    );
    assert_eq!(
        refused(&e, json!({"type": "batches", "worker_step": "join", "cursors": [1]})).await,
        "the worker_step of \"split\" is one of work; it is \"join\""
    );
    assert!(
        refused(&e, json!({"type": "batches"})).await.contains("batches must have \"cursors\"")
    );
    assert!(refused(&e, json!({"type": "success"})).await.contains("a plain success says nothing"));
    assert!(
        refused(&e, json!({"type": "decision", "create_steps": ["work"]}))
            .await
            .contains("only a decision")
    );
    let id = batch(&e, json!([1, 2, 3])).await;
    assert_eq!(
        e.step_state(id, "work_003").await,
        "enqueued",
        "as many as the limit says are taken"
    );
}

#[tokio::test]
async fn ten_thousand_instances_are_created_in_one_call_and_processed_by_index() {
    let e = engine("fail_fast").await;
    let id = e.start().await;
    let split = pick(&e.claim(9).await, "split");
    e.split(&split, json!((0..10_000).collect::<Vec<_>>())).await;
    let began = Instant::now();
    e.process().await;
    let took = began.elapsed();
    println!("10,000 instances created in {took:?}");
    assert!(took < SOON, "{took:?}");
    let there: i64 = sqlx::query_scalar(
        "select count(*) from tasker.steps where task_id = $1 and instance is not null",
    )
    .bind(id)
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(there, 10_000);

    let claims = e.claim(500).await;
    for claim in &claims {
        assert_eq!(e.succeed(claim, json!(1)).await, "accepted");
    }
    let mut tx = e.pool().begin().await.unwrap();
    sqlx::query("select * from tasker.process_step_results(500)").execute(&mut *tx).await.unwrap();
    let read: i64 = sqlx::query_scalar(
        "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_xact_user_tables where \
         schemaname = 'tasker' and relname in ('steps', 'tasks')",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    // There are 500 results and 10,000 steps: a look at all of them for each result would be
    // 5,000,000.
    let fetched: i64 = sqlx::query_scalar(
        "select coalesce(sum(idx_tup_fetch), 0)::bigint \
         from pg_stat_xact_user_tables \
         where schemaname = 'tasker' and relname = 'steps'",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    println!("{read} rows read by scans, {fetched} by index");
    assert!(read < 5_000, "{read} rows read by sequential scans");
    assert!(fetched < 50_000, "{fetched} rows of steps fetched for 500 results");
}

#[tokio::test]
async fn any_cursor_can_be_looked_at() {
    let e = engine("fail_fast").await;
    let huge = "9".repeat(100_000);
    let cursors = format!(
        r#"[
            {{"start": -{huge}, "end": {huge}}},
            {{"start": 1, "end": 3}},
            {{"start": 3, "end": 1}},
            {{"start": "a", "end": 9}},
            null,
            [1]
        ]"#
    );
    let id = e.start().await;
    let split = pick(&e.claim(9).await, "split");
    sqlx::query(
        "select tasker.submit_results($1, jsonb_build_array(jsonb_build_object( \
             'task_id', $2, \
             'step', 'split', \
             'claim_no', $3, \
             'outcome', jsonb_build_object('type', 'batches', 'cursors', $4::text::jsonb) \
         )))",
    )
    .bind(e.worker)
    .bind(id)
    .bind(split.claim_no)
    .bind(cursors)
    .execute(e.pool())
    .await
    .unwrap();
    e.process().await;
    assert_eq!(
        e.text("select items_total::text from tasker.batch_overview where task_id = $1", id).await,
        "7",
        "two of the range, one of each other"
    );
}

#[tokio::test]
async fn a_batch_that_nothing_follows_is_its_summary_in_the_tasks_result() {
    let e = Engine::new().await;
    e.apply(growing_flow(&BATCH[..2])).await;
    let id = batch(&e, json!([1, 2])).await;
    for claim in e.claim(9).await {
        e.succeed(&claim, json!(claim.step)).await;
    }
    e.process().await;
    let result: Value = sqlx::query_scalar("select tasker.task_result($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    let summary =
        json!({"instances": 2, "complete": 2, "failed": 0, "results": ["work_001", "work_002"]});
    assert_eq!(result, json!({"work": summary}));
}

#[tokio::test]
async fn a_batch_is_read_once_however_many_steps_follow_it() {
    let e = Engine::new().await;
    let names: Vec<String> = (0..60).map(|n| format!("after_{n:02}")).collect();
    let mut steps = BATCH[..2].to_vec();
    steps.extend(names.iter().map(|name| (name.as_str(), "standard", &["work"] as &[&str])));
    e.apply(growing_flow(&steps)).await;
    let path = "x".repeat(500);
    let cursors: Vec<Value> =
        (0..3_000).map(|n| json!({"start": n, "end": n + 1, "file": path})).collect();
    let id = e.start().await;
    let split = pick(&e.claim(9).await, "split");
    assert_eq!(e.split(&split, json!(cursors)).await, "accepted");
    let begun = Instant::now();
    e.process().await;
    assert!(
        begun.elapsed() < SOON,
        "{:?} for 3,000 instances and 60 steps after them",
        begun.elapsed()
    );
    let waits = "select count(*)::text from tasker.steps where task_id = $1 and waiting_on = 3000";
    assert_eq!(e.text(waits, id).await, "60");
}
