//! Handlers of dynamic workflows in real workers: decisions, batches with checkpoints, calls over
//! HTTP, and handlers that are found by a resolver.

use crate::world::{SOON, World};
use pgtasker_tests::{WebServer, eventually};
use pgtasker_worker::{
    Api, Batchable, Cursor, Decision, Handler, StepContext, StepError, StepOutcome, StepState,
    WorkerBuilder,
};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// A step of this type, three attempts without backoff.
fn step(name: &str, parents: &[&str], kind: &str, handler: Value) -> Value {
    json!({"name": name, "dependencies": parents, "type": kind, "handler": handler,
           "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false}})
}

fn callable(name: &str) -> Value {
    json!({"callable": name})
}

async fn world(steps: &[Value], register: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> World {
    let world =
        World::with(json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps}))
            .await;
    world.worker(register).await;
    world
}

/// The steps of a task with their states, in order of their names.
async fn steps(world: &World, id: Uuid) -> Vec<(String, String)> {
    sqlx::query_as("select name, state::text from tasker.steps where task_id = $1 order by name")
        .bind(id)
        .fetch_all(&world.db.pool)
        .await
        .unwrap()
}

/// Decides by what a service says, and yields in between: after a checkpoint it is not asked again.
async fn route(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let Some(last) = ctx.last_checkpoint::<String, u64>()? else {
        let url: String = ctx.context::<Value>()?["url"].as_str().unwrap_or_default().to_owned();
        let amount: u64 = ctx.get(&url).send().await?.json().await?;
        return ctx.checkpoint("asked", 1, amount);
    };
    let parts = ctx.split(0..last.accumulated, 3).count();
    Ok(match last.accumulated {
        0 => ctx.choose_none(),
        1..1_000 => ctx.choose(["auto_approve"]),
        _ => ctx
            .choose(["manager", "finance"])
            .with_result(json!({"from": last.cursor, "parts": parts})),
    })
}

#[tokio::test]
async fn one_handler_calls_a_service_saves_what_it_says_and_decides() {
    let graph = [
        step("route", &[], "decision", callable("route")),
        step("auto_approve", &["route"], "standard", callable("noop")),
        step("manager", &["route"], "standard", callable("noop")),
        step("finance", &["route"], "standard", callable("noop")),
        step("finalize", &["auto_approve", "manager", "finance"], "deferred", callable("parents")),
    ];
    let parents = async |ctx: StepContext| {
        Ok(StepOutcome::success(ctx.parents().keys().cloned().collect::<Vec<_>>()))
    };
    let world = world(&graph, |w| w.handler("route", route).handler("parents", parents)).await;
    let cases = [
        (WebServer::start(&[(503, "later"), (200, "5000")]).await, vec!["finance", "manager"], 2),
        (WebServer::start(&[(200, "10")]).await, vec!["auto_approve"], 1),
        (WebServer::start(&[(200, "0")]).await, vec![], 1),
    ];
    for (server, chosen, attempts) in cases {
        let id = world.enqueue(json!({"url": format!("http://{}/amount", server.address)})).await;
        assert_eq!(world.ended(id).await, "complete");
        let mut expected: Vec<&str> = chosen.iter().copied().chain(["route"]).collect();
        if !chosen.is_empty() {
            assert_eq!(world.result(id).await, json!({"finalize": chosen}));
            expected.push("finalize");
        }
        expected.sort_unstable();
        let names: Vec<String> =
            steps(&world, id).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected);
        // The failed call counted until the checkpoint.
        let (_, attempt, claim_no, _) = world.step(id, "route").await;
        assert_eq!((attempt, claim_no), (1, attempts + 1));
        let requests = server.requests();
        assert_eq!(requests.len() as i32, attempts);
        for (request, attempt) in requests.iter().zip(1..) {
            assert_eq!(request.headers["idempotency-key"], format!("{id}:route"));
            assert_eq!(request.headers["tasker-attempt"], format!("{attempt}"));
        }
    }
}

/// Eight parts of the context's range; each is added up by twos, and the sixth fails where the
/// context says so.
fn batch(strategy: &str) -> [Value; 3] {
    let mut add = step("add", &["cut"], "batch_worker", callable("add"));
    add["failure_strategy"] = json!(strategy);
    [
        step("cut", &[], "batchable", callable("cut")),
        add,
        step("total", &["add"], "standard", callable("total")),
    ]
}

async fn cut(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let rows = ctx.context::<Value>()?["rows"].as_u64().unwrap_or_default();
    Ok(ctx.batches(ctx.split(0..rows, 8))?.with_result(rows))
}

async fn add(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let cursor: Cursor = ctx.cursor()?;
    if ctx.context::<Value>()?["fails"] == json!(cursor.start) {
        return Err(StepError::permanent("a bad row").code("bad_row"));
    }
    let (from, sum) = match ctx.last_checkpoint::<u64, u64>()? {
        Some(last) => {
            assert_eq!(last.items_processed, last.cursor - cursor.start);
            (last.cursor, last.accumulated)
        }
        None => (cursor.start, 0),
    };
    let to = cursor.end.min(from + 2);
    let sum = sum + (from..to).sum::<u64>();
    if to < cursor.end {
        return ctx.checkpoint(to, to - cursor.start, sum);
    }
    Ok(StepOutcome::success(sum))
}

/// In pages of three; beside the sum, what the claim carried.
async fn total(ctx: StepContext) -> Result<StepOutcome, StepError> {
    let batch = ctx.batch("add")?;
    let (mut sum, mut lengths, mut failed) = (0, Vec::new(), Vec::new());
    let mut pages = batch.pages::<u64>().page_size(3);
    while let Some(page) = pages.next_page().await? {
        lengths.push(page.len());
        for instance in page {
            let cursor: Cursor = serde_json::from_value(instance.inputs)?;
            match instance.result {
                Some(result) => {
                    assert_eq!(
                        (result, instance.state),
                        (cursor.range().sum(), StepState::Complete)
                    );
                    sum += result;
                }
                None => failed.push((instance.step, instance.number, instance.error)),
            }
        }
    }
    // As many at once as the database gives.
    let all = batch.pages::<u64>().page_size(u32::MAX).next_page().await?;
    assert_eq!(all.map_or(0, |page| page.len()), lengths.iter().sum::<usize>());
    let inline = batch.results::<u64>()?.map(|results| results.len());
    Ok(StepOutcome::success(json!({
        "sum": sum, "pages": lengths, "failed": failed, "inline": inline,
        "counts": [batch.instances(), batch.complete(), batch.failed()],
    })))
}

fn batch_handlers(w: WorkerBuilder) -> WorkerBuilder {
    w.handler("cut", cut).handler("add", add).handler("total", total)
}

#[tokio::test]
async fn a_batch_is_cut_added_up_from_checkpoints_and_read_in_pages() {
    let world = world(&batch("fail_fast"), batch_handlers).await;
    let id = world.enqueue(json!({"rows": 60})).await;
    let expected = json!({
        "sum": 60 * 59 / 2,
        "pages": [3, 3, 2],
        "failed": [],
        "inline": 8,
        "counts": [8, 8, 0],
    });
    assert_eq!(world.result(id).await["total"], expected);
    // Parts of 8 and 7 rows by twos: four claims, one attempt.
    for n in 1..=8 {
        let (_, attempt, claim_no, _) = world.step(id, &format!("add_{n:03}")).await;
        assert_eq!((attempt, claim_no), (1, 4), "instance {n}");
    }
    let id = world.enqueue(json!({"rows": 0})).await;
    let expected = json!({"sum": 0, "pages": [], "failed": [], "inline": 0, "counts": [0, 0, 0]});
    assert_eq!(world.result(id).await["total"], expected);
}

#[tokio::test]
async fn results_that_the_claim_does_not_carry_are_in_the_pages_and_failed_instances_too() {
    let world = world(&batch("continue_on_failure"), batch_handlers).await;
    sqlx::query("update tasker.settings set max_inline_results = 5")
        .execute(&world.db.pool)
        .await
        .unwrap();
    let id = world.enqueue(json!({"rows": 16, "fails": 10})).await;
    let total = &world.result(id).await["total"];
    assert_eq!(
        (&total["sum"], &total["inline"]),
        (&json!(16 * 15 / 2 - 10 - 11), &Value::Null),
        "{total}"
    );
    assert_eq!(
        (&total["pages"], &total["counts"]),
        (&json!([3, 3, 2]), &json!([8, 7, 1])),
        "{total}"
    );
    let failed = &total["failed"];
    assert_eq!(
        (&failed[0][0], &failed[0][1], &failed[0][2]["code"], &failed[1]),
        (&json!("add_006"), &json!(6), &json!("bad_row"), &Value::Null),
        "{total}"
    );
}

#[tokio::test]
async fn writes_and_a_checkpoint_commit_together_and_a_worker_that_goes_on_finds_both() {
    let write = async |ctx: StepContext| {
        let cursor: Cursor = ctx.cursor()?;
        let from = ctx.last_checkpoint::<u64, Value>()?.map_or(cursor.start, |last| last.cursor);
        let mut tx = ctx.begin().await?;
        sqlx::query("insert into rows values ($1)").bind(from as i64).execute(&mut *tx).await?;
        if from == 2 && ctx.attempt() == 1 {
            panic!("after its first checkpoint, with a row written");
        }
        let outcome = if from + 1 < cursor.end {
            ctx.checkpoint(from + 1, from + 1 - cursor.start, ())?
        } else {
            StepOutcome::success(cursor.len())
        };
        tx.complete_with(outcome).await
    };
    let graph = [
        step("cut", &[], "batchable", callable("cut")),
        step("write", &["cut"], "batch_worker", callable("write")),
        step("total", &["write"], "standard", callable("noop")),
    ];
    let world = world(&graph, |w| w.handler("cut", cut).handler("write", write)).await;
    sqlx::query("create table rows (n bigint)").execute(&world.db.pool).await.unwrap();
    let id = world.enqueue(json!({"rows": 32})).await;
    assert_eq!(world.ended(id).await, "complete");
    let rows: Vec<i64> = sqlx::query_scalar("select n from rows order by n")
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(rows, (0..32).collect::<Vec<_>>(), "each once");
    let (_, attempt, ..) = world.step(id, "write_001").await;
    assert_eq!(attempt, 1, "the panic counted until the next checkpoint");
}

#[tokio::test]
async fn an_own_transaction_whose_outcome_is_not_one_for_its_step_leaves_nothing_and_says_why() {
    let decide = async |ctx: StepContext| {
        let mut tx = ctx.begin().await?;
        sqlx::query("insert into rows values (1)").execute(&mut *tx).await?;
        tx.complete_with(ctx.choose(["nobody"])).await
    };
    let graph = [
        step("decide", &[], "decision", callable("decide")),
        step("a", &["decide"], "standard", callable("noop")),
    ];
    let world = world(&graph, |w| w.handler("decide", decide)).await;
    sqlx::query("create table rows (n bigint)").execute(&world.db.pool).await.unwrap();
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (_, attempt, _, error) = world.step(id, "decide").await;
    let error = error.unwrap();
    assert_eq!((attempt, &error["code"]), (1, &json!("invalid_outcome")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("nobody"), "{error}");
    let rows: i64 =
        sqlx::query_scalar("select count(*) from rows").fetch_one(&world.db.pool).await.unwrap();
    assert_eq!(rows, 0);
}

/// The same by functions in the database: what the envelope says of the checkpoint, they return as
/// the next one.
#[tokio::test]
async fn functions_of_the_sql_handler_decide_cut_and_yield() {
    let function =
        |name: &str| json!({"callable": "sql", "config": {"function": format!("public.{name}")}});
    let graph = [
        step("decide", &[], "decision", function("decide")),
        step("never", &["decide"], "standard", callable("noop")),
        step("cut", &["decide"], "batchable", function("cut")),
        step("count", &["cut"], "batch_worker", function("count")),
        step("total", &["count"], "standard", function("total")),
    ];
    let world = world(&graph, |w| w).await;
    sqlx::raw_sql(
        r#"
        create function decide(p jsonb) returns jsonb language sql as $$
            select '{"$tasker": {"type": "decision", "create_steps": ["cut"]}}'::jsonb
        $$;

        create function cut(p jsonb) returns jsonb language sql as $$
            select '{"$tasker": {
                "type": "batches",
                "cursors": [{"start": 0, "end": 3}, {"start": 3, "end": 5}]
            }}'::jsonb
        $$;

        create table counted (n int);

        create function count(p jsonb) returns jsonb language plpgsql as $$
        declare
            v_start int := (p #>> '{inputs,start}')::int;
            v_at    int := coalesce((p #>> '{checkpoint,cursor}')::int, v_start);
            v_sum   int := coalesce((p #>> '{checkpoint,accumulated}')::int, 0) + 1;
        begin
            insert into counted values (v_at);
            if v_at + 1 = (p #>> '{inputs,end}')::int then
                return v_sum;
            end if;
            return jsonb_build_object('$tasker', jsonb_build_object(
                'type', 'checkpoint',
                'cursor', v_at + 1,
                'items_processed', v_at + 1 - v_start,
                'accumulated', v_sum
            ));
        end
        $$;

        create function total(p jsonb) returns jsonb language sql as $$
            select p #> '{parents,count,results}'
        $$;
        "#,
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await["total"], json!([3, 2]));
    let counted: Vec<i32> = sqlx::query_scalar("select n from counted order by n")
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(counted, [0, 1, 2, 3, 4], "each once");
}

#[tokio::test]
async fn methods_and_resolvers_find_handlers_by_name() {
    let graph = [
        step("charge", &[], "standard", json!({"callable": "payments", "method": "charge"})),
        step(
            "refund",
            &["charge"],
            "standard",
            json!({"callable": "payments", "method": "refund"}),
        ),
        step("mail", &["refund"], "standard", callable("plugin.mail")),
    ];
    let named =
        async |ctx: StepContext| Ok(StepOutcome::success(format!("registered {}", ctx.handler())));
    let resolved: Arc<dyn Handler> = Arc::new(async |ctx: StepContext| {
        Ok(StepOutcome::success(format!("resolved {}", ctx.handler())))
    });
    let world = world(&graph, |w| {
        w.method("payments", "charge", named)
            .resolver(|_: &str| None)
            .resolver(move |name: &str| (name != "payments.none").then(|| Arc::clone(&resolved)))
    })
    .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"mail": "resolved plugin.mail"}));
    let results: Vec<String> = sqlx::query_scalar(
        "select result #>> '{}' from tasker.steps where task_id = $1 and name <> 'mail' order by \
         name",
    )
    .bind(id)
    .fetch_all(&world.db.pool)
    .await
    .unwrap();
    assert_eq!(results, ["registered payments.charge", "resolved payments.refund"]);
    let offered: Vec<String> = eventually("the worker's heartbeat", SOON, async || {
        let handlers: Option<Vec<String>> =
            sqlx::query_scalar("select handlers from tasker.workers")
                .fetch_optional(&world.db.pool)
                .await
                .unwrap();
        handlers.ok_or("none")
    })
    .await;
    assert!(
        offered.contains(&"*".to_owned()) && offered.contains(&"payments.charge".to_owned()),
        "{offered:?}"
    );
}
