//! Bad input: messages that nobody can use, results over the limit. Each costs only itself.

use crate::world::World;
use pgtasker_tests::engine::{Claim, Engine, flow};
use pgtasker_worker::StepContext;
#[allow(dead_code, reason = "each test file uses some of it")]
use serde_json::{Value, json};
use uuid::Uuid;

const UNKNOWN: &str = "01900000-0000-7000-8000-000000000000";
const QUEUES: [&str; 3] =
    ["orchestration_task_requests", "worker_test_queue", "orchestration_step_results"];

/// What no queue's reader can use; `id` is a task that is there.
fn bad_messages(id: Uuid) -> Vec<Value> {
    let huge: Value = serde_json::from_str("1e300").unwrap();
    vec![
        json!(null),
        json!("text"),
        json!(17),
        json!([{"task_id": id}]),
        json!({}),
        json!({"task_id": null}),
        json!({"task_id": 12345678901234567890_u64, "step": "a", "claim_no": 1}),
        json!({"task_id": huge, "step": huge, "claim_no": huge}),
        json!({"task_id": "nobody", "step": "a", "claim_no": 1}),
        json!({"task_id": {"task_id": id}, "step": ["a"], "claim_no": {}}),
        json!({"task_id": UNKNOWN, "step": "a", "claim_no": 1}),
        json!({"task_id": UNKNOWN, "step": "x".repeat(100_000), "claim_no": 1}),
    ]
}

async fn send(e: &Engine, queue: &str, message: &Value) {
    sqlx::query("select pgmq.send($1, $2)")
        .bind(queue)
        .bind(message)
        .execute(e.pool())
        .await
        .unwrap();
}

async fn dead(e: &Engine, queue: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*) from tasker.dead_letters where queue = $1 and reason = 'bad_message'",
    )
    .bind(queue)
    .fetch_one(e.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn no_message_in_any_queue_stops_the_rest_or_stays() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let known = e.start().await;
    let bad = bad_messages(known);
    for queue in QUEUES {
        for message in &bad {
            send(&e, queue, message).await;
        }
        // No message at all, as only pgmq itself can send it.
        sqlx::query("select pgmq.send($1, null::jsonb)")
            .bind(queue)
            .execute(e.pool())
            .await
            .unwrap();
    }
    // Steps and claim numbers that are not there, of a task that is.
    let mut of_results = vec![json!({"task_id": known, "step": "none", "claim_no": 1})];
    for claim_no in [json!(null), json!(1.5), json!("one"), json!(99_999_999_999_i64), json!(true)]
    {
        of_results.push(json!({"task_id": known, "step": "a", "claim_no": claim_no}));
    }
    for message in &of_results {
        send(&e, "orchestration_step_results", message).await;
    }
    send(&e, "worker_test_queue", &json!({"task_id": known, "step": "none"})).await;
    send(&e, "worker_test_queue", &json!({"task_id": known})).await;

    let late = e.start().await;
    assert_eq!(e.drain().await, ["a", "a", "b", "b"]);
    for id in [known, late] {
        assert_eq!(e.task_state(id).await, "complete");
    }
    for (queue, more) in QUEUES.iter().zip([0, 2, of_results.len()]) {
        assert_eq!(e.depth(queue).await, 0, "{queue}");
        assert_eq!(dead(&e, queue).await, (bad.len() + 1 + more) as i64, "{queue}");
    }
}

#[tokio::test]
async fn a_message_in_another_namespaces_queue_claims_nothing() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut other = flow(&[("a", &[])]);
    other["namespace"] = json!("other");
    e.apply(other).await;
    let id = e.start().await;
    send(&e, "worker_other_queue", &json!({"task_id": id, "step": "a"})).await;
    let claimed: i64 =
        sqlx::query_scalar("select count(*) from tasker.claim_steps('other', $1, 9)")
            .bind(e.worker)
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(
        (claimed, e.depth("worker_other_queue").await, dead(&e, "worker_other_queue").await),
        (0, 0, 1)
    );
    assert_eq!(e.drain().await, ["a"]);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn the_same_bad_message_about_a_task_is_one_entry() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    for _ in 0..3 {
        send(
            &e,
            "orchestration_step_results",
            &json!({"task_id": id, "step": "none", "claim_no": 1}),
        )
        .await;
        e.process().await;
    }
    assert_eq!(dead(&e, "orchestration_step_results").await, 1);
    // Nor does it count as the task's own entry.
    let added: Uuid = sqlx::query_scalar("select tasker.add_dead_letter($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    let reason: String =
        sqlx::query_scalar("select reason from tasker.dead_letters where entry_id = $1")
            .bind(added)
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(reason, "manual");
}

fn outcome(claim: &Claim, outcome: Value) -> Value {
    json!({
        "task_id": claim.task_id,
        "step": claim.step,
        "claim_no": claim.claim_no,
        "outcome": outcome,
    })
}

/// Status by step, of one call with all of these.
async fn answers(e: &Engine, function: &str, results: Value) -> Vec<(String, String)> {
    let query = format!("select step, status from tasker.{function}($1, $2) order by step");
    sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(e.worker)
        .bind(results)
        .fetch_all(e.pool())
        .await
        .unwrap()
}

async fn error(e: &Engine, id: Uuid, step: &str) -> Value {
    sqlx::query_scalar("select error from tasker.steps where task_id = $1 and name = $2")
        .bind(id)
        .bind(step)
        .fetch_one(e.pool())
        .await
        .unwrap()
}

/// Over the limit of 2,000 bytes; the second is small as it is stored and long as a text.
fn too_large() -> [Value; 2] {
    let many: Vec<f64> = vec![1e250; 100];
    [json!("x".repeat(2_000)), json!(many)]
}

#[tokio::test]
async fn a_result_over_the_limit_fails_its_step_for_good_and_only_that() {
    for function in ["submit_results", "complete_steps"] {
        let e = Engine::new().await;
        sqlx::query("update tasker.settings set max_result_bytes = 2000")
            .execute(e.pool())
            .await
            .unwrap();
        e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &["c"])]).await;
        let id = e.start().await;
        let claims = e.claim(9).await;
        let [long, numbers] = too_large();
        let fits = json!("x".repeat(1_998));
        let results = json!([
            outcome(&claims[0], json!({"type": "success", "result": long})),
            outcome(&claims[1], json!({"type": "success", "result": numbers})),
            outcome(&claims[2], json!({"type": "success", "result": fits})),
        ]);
        let rejected = ["a", "b", "c"].map(|step| {
            (step.to_owned(), if step == "c" { "accepted" } else { "rejected" }.to_owned())
        });
        assert_eq!(answers(&e, function, results).await, rejected, "{function}");
        e.process().await;
        assert_eq!(e.step_state(id, "a").await, "error");
        let seen = error(&e, id, "a").await;
        assert_eq!(
            (&seen["code"], &seen["retryable"]),
            (&json!("result_too_large"), &json!(false))
        );
        let message = seen["message"].as_str().unwrap();
        assert!(message.contains("2002 bytes") && message.contains("2000"), "{message}");
        assert_eq!(error(&e, id, "b").await["code"], "result_too_large");
        assert_eq!(e.drain().await, ["d"], "{function}");
        assert_eq!(e.task_state(id).await, "blocked_by_failures");
        let stored: i64 = sqlx::query_scalar(
            "select count(*) from tasker.steps where state = 'error' and result is not null",
        )
        .fetch_one(e.pool())
        .await
        .unwrap();
        assert_eq!(stored, 0);
    }
}

#[tokio::test]
async fn one_mebibyte_is_the_limit_unless_the_settings_say_otherwise() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[])]).await;
    let id = e.start().await;
    let claims = e.claim(9).await;
    let of = |bytes: usize| json!("x".repeat(bytes - 2));
    assert_eq!(e.succeed(&claims[0], of(1_048_576)).await, "accepted");
    assert_eq!(e.succeed(&claims[1], of(1_048_577)).await, "rejected");
    e.process().await;
    assert_eq!(
        (e.step_state(id, "a").await.as_str(), e.step_state(id, "b").await.as_str()),
        ("complete", "error")
    );
}

#[tokio::test]
async fn long_messages_and_codes_of_failures_are_cut() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    let failure = json!({
        "type": "failure",
        "message": "m".repeat(50_000),
        "code": "c".repeat(5_000),
        "retryable": false,
    });
    assert_eq!(e.submit(&e.claim(1).await[0], failure).await, "accepted");
    e.process().await;
    let seen = error(&e, id, "a").await;
    assert_eq!(
        (seen["message"].as_str().unwrap().len(), seen["code"].as_str().unwrap().len()),
        (10_000, 200)
    );
}

#[tokio::test]
async fn a_handlers_own_transaction_is_rolled_back_when_its_result_is_over_the_limit() {
    let mut template = flow(&[("a", &[])]);
    template["steps"][0]["handler"]["callable"] = json!("large");
    let world = World::with(template).await;
    sqlx::raw_sql(
        "update tasker.settings set max_result_bytes = 2000; create table effects (n int)",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let large = async |ctx: StepContext| {
        let mut tx = ctx.begin().await?;
        sqlx::query("insert into effects values (1)").execute(&mut *tx).await?;
        tx.complete("x".repeat(3_000)).await
    };
    let worker = world.worker(|builder| builder.handler("large", large)).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (_, attempt, _, error) = world.step(id, "a").await;
    let error = error.unwrap();
    assert_eq!((attempt, &error["code"]), (1, &json!("result_too_large")), "{error}");
    let effects: i64 =
        sqlx::query_scalar("select count(*) from effects").fetch_one(&world.db.pool).await.unwrap();
    assert_eq!(effects, 0);
    worker.stop().await;
}
