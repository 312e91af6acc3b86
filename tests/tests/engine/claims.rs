//! Claims, leases, and the fence: whose result counts.

use pgtasker_tests::engine::{Claim, Engine};
use rstest::rstest;
use serde_json::json;

async fn one_step() -> (Engine, uuid::Uuid) {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    (e, id)
}

async fn release(e: &Engine, claim: &Claim) -> String {
    sqlx::query_scalar("select status from tasker.release_steps($1, $2)")
        .bind(e.worker)
        .bind(json!([{"task_id": claim.task_id, "step": claim.step, "claim_no": claim.claim_no}]))
        .fetch_one(e.pool())
        .await
        .unwrap()
}

async fn extend(e: &Engine, claim: &Claim) -> String {
    sqlx::query_scalar("select status from tasker.extend_leases($1, $2, '60 s')")
        .bind(e.worker)
        .bind(json!([{"task_id": claim.task_id, "step": claim.step, "claim_no": claim.claim_no}]))
        .fetch_one(e.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_claim_carries_what_a_handler_needs() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).await;
    let id = e.enqueue(json!({"order_id": 7})).await;
    e.initialize().await;
    for claim in e.claim(10).await {
        e.succeed(&claim, json!({"from": claim.step})).await;
    }
    e.process().await;
    let (context, parents, handler, correlation): (
        serde_json::Value,
        serde_json::Value,
        String,
        uuid::Uuid,
    ) = sqlx::query_as(
        "select context, parents, handler, correlation_id from \
            tasker.claim_steps('test', gen_random_uuid(), 1)",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(context, json!({"order_id": 7}));
    assert_eq!(parents, json!({"a": {"from": "a"}, "b": {"from": "b"}}));
    assert_eq!((handler.as_str(), correlation), ("noop", id));
}

#[tokio::test]
async fn two_workers_never_claim_the_same_step() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    for _ in 0..20 {
        e.start().await;
    }
    let (a, b) = tokio::join!(e.claim(20), e.claim(20));
    assert_eq!(a.len() + b.len(), 20);
    assert!(a.iter().all(|x| b.iter().all(|y| x.task_id != y.task_id)));
}

#[tokio::test]
async fn a_result_sent_twice_is_a_duplicate() {
    let (e, id) = one_step().await;
    let claim = e.claim(1).await.remove(0);
    assert_eq!(e.succeed(&claim, json!(1)).await, "accepted");
    assert_eq!(e.succeed(&claim, json!(2)).await, "duplicate");
    assert_eq!(e.process().await, (1, 0, 1));
    assert_eq!(e.succeed(&claim, json!(3)).await, "duplicate");
    assert_eq!(e.text("select tasker.task_result($1) ->> 'a'", id).await, "1");
}

#[tokio::test]
async fn a_step_whose_lease_ran_out_is_claimed_again_and_the_old_result_is_stale() {
    let (e, id) = one_step().await;
    let first = e.claim(1).await.remove(0);
    assert_eq!(e.claim(1).await, [], "its lease holds");
    e.expire_leases().await;
    let second = e.claim(1).await.remove(0);
    assert_eq!((second.attempt, second.claim_no), (1, 2), "a lost lease is no attempt");
    assert_eq!(e.succeed(&first, json!("old")).await, "stale");
    assert_eq!(extend(&e, &first).await, "stale");
    assert_eq!(release(&e, &first).await, "stale");
    assert_eq!(
        e.depth("worker_test_queue").await,
        1,
        "a stale submit leaves the message of the new claim alone"
    );
    assert_eq!(e.succeed(&second, json!("new")).await, "accepted");
    e.process().await;
    assert_eq!(e.text("select tasker.task_result($1) ->> 'a'", id).await, "new");
    assert_eq!(
        e.step_path(id, "a").await,
        ["enqueued", "in_progress", "in_progress", "enqueued_for_orchestration", "complete"]
    );
}

#[tokio::test]
async fn a_release_gives_the_attempt_back_and_raises_the_fence() {
    let (e, id) = one_step().await;
    let first = e.claim(1).await.remove(0);
    assert_eq!(release(&e, &first).await, "released");
    assert_eq!(release(&e, &first).await, "stale");
    let second = e.claim(1).await.remove(0);
    assert_eq!((second.attempt, second.claim_no), (1, 2));
    assert_eq!(e.succeed(&first, json!("old")).await, "stale");
    assert_eq!(e.succeed(&second, json!("new")).await, "accepted");
    assert_eq!(
        e.step_path(id, "a").await,
        [
            "enqueued",
            "in_progress",
            "pending",
            "enqueued",
            "in_progress",
            "enqueued_for_orchestration"
        ]
    );
}

#[tokio::test]
async fn an_extended_lease_holds() {
    let (e, _) = one_step().await;
    let claim = e.claim(1).await.remove(0);
    assert_eq!(extend(&e, &claim).await, "extended");
    let seconds: f64 = sqlx::query_scalar(
        "select extract(epoch from vt - clock_timestamp())::float8 from pgmq.q_worker_test_queue",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert!(seconds > 50.0, "{seconds}");
}

#[tokio::test]
async fn extending_tells_of_a_cancelled_task() {
    let (e, id) = one_step().await;
    let claim = e.claim(1).await.remove(0);
    sqlx::query("select tasker.cancel_task($1)").bind(id).execute(e.pool()).await.unwrap();
    assert_eq!(extend(&e, &claim).await, "cancelled");
}

#[tokio::test]
async fn foreign_and_repeated_messages_do_not_stop_a_claim() {
    let (e, id) = one_step().await;
    for message in [
        json!({"hello": 1}),
        json!([]),
        json!(null),
        json!({"task_id": "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", "step": "a"}),
        json!({"task_id": uuid::Uuid::now_v7(), "step": "a"}),
        json!({"task_id": id, "step": "nope"}),
    ] {
        sqlx::query("select pgmq.send('worker_test_queue', $1)")
            .bind(message)
            .execute(e.pool())
            .await
            .unwrap();
    }
    sqlx::query("select pgmq.send('worker_test_queue', $1)")
        .bind(json!({"task_id": id, "step": "a"}))
        .execute(e.pool())
        .await
        .unwrap();
    let claims = e.claim(100).await;
    assert_eq!(claims.len(), 1, "the step, once, though it was sent twice");
    assert_eq!(e.depth("worker_test_queue").await, 1);
    let dead: i64 = sqlx::query_scalar(
        "select count(*) from tasker.dead_letters where queue = 'worker_test_queue'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(dead, 6);
    assert_eq!(e.succeed(&claims[0], json!(1)).await, "accepted");
}

#[tokio::test]
async fn a_claim_of_only_dead_messages_reads_on() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    for _ in 0..5 {
        sqlx::query("select pgmq.send('worker_test_queue', '{}')").execute(e.pool()).await.unwrap();
    }
    e.start().await;
    assert_eq!(e.claim(1).await.len(), 1);
}

#[tokio::test]
async fn a_step_that_somebody_holds_is_looked_at_again_soon() {
    let (e, _) = one_step().await;
    let mut tx = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.steps for update").execute(&mut *tx).await.unwrap();
    assert_eq!(e.claim(1).await, [], "a claim never waits");
    let seconds: f64 = sqlx::query_scalar(
        "select extract(epoch from vt - clock_timestamp())::float8 from pgmq.q_worker_test_queue",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert!(seconds < 2.0, "{seconds}");
    tx.rollback().await.unwrap();
    e.expire_leases().await;
    assert_eq!(e.claim(1).await.len(), 1);
}

#[tokio::test]
async fn one_bad_outcome_fails_its_step_and_the_rest_is_accepted() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[])]).await;
    let id = e.start().await;
    let claims = e.claim(2).await;
    let results = json!([
        {"task_id": claims[0].task_id, "step": "a", "claim_no": 1, "outcome": {"type": "nonsense"}},
        {"task_id": claims[1].task_id, "step": "b", "claim_no": 1, "outcome": {"type": "success"}},
        {"task_id": "x", "step": "b", "claim_no": 1, "outcome": {"type": "success"}},
        {"task_id": claims[1].task_id, "step": "b", "claim_no": "x"},
        {
            "task_id": claims[1].task_id,
            "step": "nope",
            "claim_no": 1,
            "outcome": {"type": "success"},
        },
        {"task_id": claims[1].task_id, "step": "b", "claim_no": 1, "outcome": {"type": "success"}},
        "rubbish",
    ]);
    let statuses: Vec<String> =
        sqlx::query_scalar("select status from tasker.submit_results(gen_random_uuid(), $1)")
            .bind(results)
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert_eq!(
        statuses,
        ["rejected", "accepted", "rejected", "stale", "rejected", "duplicate", "rejected"]
    );
    e.process().await;
    assert_eq!(
        (e.step_state(id, "a").await.as_str(), e.step_state(id, "b").await.as_str()),
        ("error", "complete")
    );
    assert_eq!(
        e.text("select error ->> 'message' from tasker.tasks where task_id = $1", id).await,
        "unknown outcome type \"nonsense\"; the types are success, failure, decision, batches, \
         checkpoint, skip"
    );
}

/// A message of a step that needs no worker now is deleted, in the same transaction, and claims
/// nothing.
#[rstest]
#[case::already_claimed("in_progress")]
#[case::waiting_for_a_retry("pending")]
#[case::with_a_result_to_process("enqueued_for_orchestration")]
#[case::done("complete")]
#[case::failed("error")]
#[case::cancelled("cancelled")]
#[tokio::test]
async fn a_message_of_a_step_that_needs_no_worker_is_deleted(#[case] state: &str) {
    let (e, id) = one_step().await;
    let claim = e.claim(1).await.remove(0);
    let outcome = match state {
        "pending" => Some(json!({"type": "failure", "message": "later", "retry_after_ms": 60_000})),
        "error" => Some(json!({"type": "failure", "message": "no", "retryable": false})),
        "complete" | "enqueued_for_orchestration" => Some(json!({"type": "success"})),
        _ => None,
    };
    if let Some(outcome) = outcome {
        e.submit(&claim, outcome).await;
    }
    if !["in_progress", "enqueued_for_orchestration"].contains(&state) {
        e.process().await;
    }
    if state == "cancelled" {
        sqlx::query("select tasker.cancel_task($1)").bind(id).execute(e.pool()).await.unwrap();
    }
    assert_eq!(e.step_state(id, "a").await, state);
    let own = e.depth("worker_test_queue").await;
    sqlx::query("select pgmq.send('worker_test_queue', $1)")
        .bind(json!({"task_id": id, "step": "a"}))
        .execute(e.pool())
        .await
        .unwrap();
    assert_eq!(e.claim(1).await, []);
    assert_eq!(
        (e.step_state(id, "a").await.as_str(), e.depth("worker_test_queue").await),
        (state, own)
    );
    let claim_no: i32 =
        sqlx::query_scalar("select claim_no from tasker.steps").fetch_one(e.pool()).await.unwrap();
    assert_eq!(claim_no, 1);
}

/// Under the old message's id the late claim would look like the new one's lease that ran out.
#[tokio::test]
async fn a_released_step_has_a_new_message() {
    let (e, _) = one_step().await;
    let messages = || async {
        sqlx::query_scalar::<_, i64>("select msg_id from pgmq.q_worker_test_queue")
            .fetch_all(e.pool())
            .await
            .unwrap()
    };
    let first = e.claim(1).await.remove(0);
    let old = messages().await;
    assert_eq!(release(&e, &first).await, "released");
    let new = messages().await;
    assert!(old.len() == 1 && new.len() == 1 && old != new, "{old:?} {new:?}");
}
