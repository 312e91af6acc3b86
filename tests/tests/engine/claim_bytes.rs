//! What a claim hands out is bounded by its bytes as text, not by rows alone.

use crate::world::World;
use pgtasker_tests::{
    engine::{Engine, flow},
    invariants::assert_invariants,
};
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use serde_json::{Value, json};
use uuid::Uuid;

/// The least that the limit may be.
const LIMIT: i64 = 65_536;

async fn run(e: &Engine, query: &'static str) {
    sqlx::query(query).execute(e.pool()).await.unwrap();
}

/// An engine where a claim has at most [`LIMIT`] bytes, with `test.flow`.
async fn engine(template: Value) -> Engine {
    let e = Engine::new().await;
    e.apply(template).await;
    run(&e, "update tasker.settings set max_claim_bytes = 65536").await;
    e
}

/// Claims up to `max` steps: how many, and the bytes of their contexts and parents as text.
async fn claim(e: &Engine, max: i32) -> (i64, i64) {
    sqlx::query_as(
        "select count(*), coalesce(sum(octet_length(context::text) + \
         octet_length(parents::text)), 0)::bigint from tasker.claim_steps('test', $1, $2)",
    )
    .bind(e.worker)
    .bind(max)
    .fetch_one(e.pool())
    .await
    .unwrap()
}

/// 99 steps and one that comes after them all.
fn wide(handler: &str) -> Value {
    let names: Vec<String> = (1..=99).map(|n| format!("p{n:03}")).collect();
    let mut steps: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let parents: Vec<&str> = names.iter().map(String::as_str).collect();
    steps.push(("join", &parents));
    let mut template = flow(&steps);
    template["steps"][99]["handler"] = json!({"callable": handler});
    template
}

#[tokio::test]
async fn what_does_not_fit_stays_in_the_queue_without_a_trace() {
    let e = engine(flow(&[("a", &[])])).await;
    for _ in 0..5 {
        e.enqueue(json!({"d": "x".repeat(20_000)})).await;
    }
    // By their text: a number of a few bytes as stored has 20,001 as text.
    run(
        &e,
        "select tasker.enqueue_task('test', 'flow', '{\"d\": 1e20000}') from generate_series(1, 5)",
    )
    .await;
    e.initialize().await;
    let mut claimed = 0;
    for _ in 0..4 {
        let (steps, bytes) = claim(&e, 100).await;
        assert!(steps > 0 && bytes <= LIMIT, "{steps} steps of {bytes} bytes");
        claimed += steps;
        assert_invariants(e.pool()).await;
    }
    assert_eq!(claimed, 10);
    let twice: i64 =
        sqlx::query_scalar("select count(*) from tasker.steps where claim_no <> 1 or attempt <> 1")
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(twice, 0, "what was read and did not fit was not claimed");
}

#[tokio::test]
async fn a_step_whose_own_inputs_do_not_fit_fails_by_name_and_the_others_run() {
    let e = engine(flow(&[("a", &[])])).await;
    let large = e.enqueue(json!({"d": "x".repeat(70_000)})).await;
    let small = e.start().await;
    assert_eq!(claim(&e, 10).await.0, 1);
    e.process().await;
    assert_eq!(
        (e.task_state(large).await, e.step_state(small, "a").await),
        ("blocked_by_failures".into(), "in_progress".into())
    );
    let error = e.text("select error ->> 'code' from tasker.steps where task_id = $1", large).await;
    assert_eq!(error, "input_too_large");
    assert_invariants(e.pool()).await;
}

/// Runs all steps of `test.flow` but the join, with results of 1,000 bytes.
async fn run_parents(e: &Engine, id: Uuid) {
    for claim in e.claim(200).await {
        e.succeed(&claim, json!("x".repeat(1_000))).await;
    }
    e.process().await;
    assert_eq!(e.step_state(id, "join").await, "enqueued");
}

#[tokio::test]
async fn parents_that_do_not_fit_come_by_pages() {
    let e = engine(wide("noop")).await;
    let id = e.start().await;
    run_parents(&e, id).await;
    let others = [e.start().await, e.start().await];
    let claims: Vec<(String, bool)> =
        sqlx::query_as("select step, parents is null from tasker.claim_steps('test', $1, 500)")
            .bind(e.worker)
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert_eq!(claims.len(), 1 + 99 * others.len(), "the join, and all the others");
    assert!(claims.iter().all(|(step, paged)| *paged == (step == "join")));
    let (mut after, mut read, mut pages) = (None::<String>, Vec::new(), 0);
    loop {
        let page: Vec<(String, Value)> =
            sqlx::query_as("select * from tasker.parent_results($1, 'join', $2)")
                .bind(id)
                .bind(&after)
                .fetch_all(e.pool())
                .await
                .unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        read.extend(page.into_iter().map(|(parent, _)| parent));
        pages += 1;
    }
    assert_eq!((read.len(), pages), (99, 2));
    assert!(read.is_sorted());
}

#[tokio::test]
async fn what_follows_a_result_is_claimed_at_once_only_where_it_fits() {
    let e = engine(wide("noop")).await;
    let id = e.start().await;
    let mut claims = e.claim(200).await;
    let last = claims.pop().unwrap();
    for claim in claims {
        e.succeed(&claim, json!("x".repeat(1_000))).await;
    }
    e.process().await;
    let results = json!([{
        "task_id": id,
        "step": last.step,
        "claim_no": last.claim_no,
        "outcome": {"type": "success", "result": "x".repeat(1_000)},
    }]);
    let statuses: Vec<String> =
        sqlx::query_scalar("select status from tasker.complete_steps($1, $2, 10, '{noop}')")
            .bind(e.worker)
            .bind(results)
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert_eq!(statuses, ["accepted"], "the join is left to its queue");
    assert_eq!(e.step_state(id, "join").await, "enqueued");
}

async fn large(_: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success("x".repeat(1_000)))
}

#[tokio::test]
async fn a_handler_that_reads_pages_joins_what_no_claim_holds_and_others_fail_by_name() {
    let mut template = wide("join");
    for n in 0..99 {
        template["steps"][n]["handler"] = json!({"callable": "large"});
    }
    let world = World::with(template).await;
    sqlx::query("update tasker.settings set max_claim_bytes = 65536")
        .execute(&world.db.pool)
        .await
        .unwrap();
    let count = |ctx: StepContext| async move {
        assert!(ctx.parents().is_empty());
        let (mut pages, mut bytes) = (ctx.parent_pages(), 0);
        while let Some(page) = pages.next_page::<String>().await? {
            bytes += page.iter().map(|(_, result)| result.len()).sum::<usize>();
        }
        Ok(StepOutcome::success(bytes))
    };
    let worker = world.worker(|w| w.handler("large", large).paged_handler("join", count)).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"join": 99_000}));
    worker.stop().await;
    let worker = world.worker(|w| w.handler("large", large).handler("join", large)).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    assert_eq!(world.step(id, "join").await.3.unwrap()["code"], json!("input_too_large"));
    worker.stop().await;
}

/// A task knows its largest result only once its step is settled, and inputs may be made before.
#[tokio::test]
async fn inputs_count_a_result_that_their_task_does_not_know_yet() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[]), ("b", &["a"]), ("c", &["a"])]);
    template["steps"][1]["inputs"] = json!({"x": "$.parents.a.l[*]"});
    template["steps"][2]["inputs"] = json!({"x": "$.parents.a.one"});
    e.apply(template).await;
    let id = e.start().await;
    let a = e.claim(9).await.remove(0);
    assert_eq!(e.succeed(&a, json!({"one": 1, "l": vec![7; 30_000]})).await, "accepted");
    e.process().await;
    sqlx::raw_sql(
        "update tasker.settings set max_claim_bytes = 65536;
         update tasker.tasks set largest_result = 0;",
    )
    .execute(e.pool())
    .await
    .unwrap();
    let made = "select concat_ws(' ', p.name, m.value, m.error ->> 'code') from \
                tasker.template_steps p cross join lateral tasker.mapped_value($1, p.inputs, \
                1000000) m where p.inputs is not null order by 1";
    let made: Vec<String> = sqlx::query_scalar(made).bind(id).fetch_all(e.pool()).await.unwrap();
    // A path of keys into a large result is made in the long way, which has the limit, too.
    assert_eq!(made, ["b input_too_large", "c input_too_large"]);
    sqlx::raw_sql("update tasker.settings set max_claim_bytes = 131072")
        .execute(e.pool())
        .await
        .unwrap();
    let one = "select m.value::text from tasker.template_steps p cross join lateral \
               tasker.mapped_value($1, p.inputs, 1000000) m where p.name = 'c'";
    assert_eq!(e.text(one, id).await, r#"{"x": 1}"#);
}
