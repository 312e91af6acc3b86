//! Namespaces that are paused or have a limit, and leases of single steps.

use pgtasker_tests::{
    engine::{Engine, flow, sqlstate},
    invariants::assert_invariants,
};
use serde_json::{Value, json};
use uuid::Uuid;

const QUEUE: &str = "worker_test_queue";

async fn run(e: &Engine, query: &'static str) {
    sqlx::query(query).execute(e.pool()).await.unwrap();
}

/// Enqueues a task with a priority and creates its steps.
async fn start_with_priority(e: &Engine, priority: i32) -> Uuid {
    let id = sqlx::query_scalar("select tasker.enqueue_task('test', 'flow', p_priority => $1)")
        .bind(priority)
        .fetch_one(e.pool())
        .await
        .unwrap();
    e.initialize().await;
    id
}

async fn next_due_ms(e: &Engine) -> Option<i64> {
    sqlx::query_scalar("select next_due_ms from tasker.enqueue_ready_steps(1000)")
        .fetch_one(e.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_paused_namespace_holds_new_tasks_until_it_is_resumed() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    run(&e, "select tasker.pause_namespace('test', 'the bank is closed', 'ana')").await;
    let id = e.start().await;
    assert_eq!(
        (e.task_state(id).await.as_str(), e.step_state(id, "a").await.as_str()),
        ("waiting_for_dependencies", "pending")
    );
    assert_eq!((e.enqueue_ready().await, e.depth(QUEUE).await), (0, 0));
    assert_eq!(next_due_ms(&e).await, None, "nothing to look for until it is resumed");
    let (held, reason): (i64, String) = sqlx::query_as(
        "select held, pause_reason from tasker.queue_overview where namespace = 'test'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((held, reason.as_str()), (1, "paused by ana (login postgres): the bank is closed"));
    let waiting_for = e.text("select tasker.task_waiting_for($1)", id).await;
    assert_eq!(waiting_for, "namespace test is paused by ana (login postgres): the bank is closed");
    assert_invariants(e.pool()).await;
    run(&e, "select tasker.resume_namespace('test')").await;
    assert_eq!(e.enqueue_ready().await, 1);
    assert_eq!(e.task_state(id).await, "steps_in_process");
    assert_eq!(e.drain().await, ["a", "b"]);
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn what_becomes_ready_during_a_pause_is_held_on_both_ways_of_a_result() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let (by_queue, by_worker) = (e.start().await, e.start().await);
    let claims = e.claim(2).await;
    run(&e, "select tasker.pause_namespace('test')").await;
    for claim in &claims {
        if claim.task_id == by_queue {
            e.succeed(claim, json!(1)).await;
            continue;
        }
        let results = json!([{
            "task_id": claim.task_id,
            "step": claim.step,
            "claim_no": claim.claim_no,
            "outcome": {"type": "success"},
        }]);
        let statuses: Vec<String> =
            sqlx::query_scalar("select status from tasker.complete_steps($1, $2, 10, '{noop}')")
                .bind(e.worker)
                .bind(results)
                .fetch_all(e.pool())
                .await
                .unwrap();
        assert_eq!(statuses, ["accepted"], "and no claim of b");
    }
    e.process().await;
    for id in [by_queue, by_worker] {
        assert_eq!(
            (e.step_state(id, "a").await.as_str(), e.step_state(id, "b").await.as_str()),
            ("complete", "pending")
        );
        assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    }
    assert_eq!((e.enqueue_ready().await, e.depth(QUEUE).await), (0, 0));
    assert_invariants(e.pool()).await;
    run(&e, "select tasker.resume_namespace('test')").await;
    assert_eq!(e.enqueue_ready().await, 2);
    e.drain().await;
    assert_eq!(
        (e.task_state(by_queue).await.as_str(), e.task_state(by_worker).await.as_str()),
        ("complete", "complete")
    );
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_limited_queue_is_filled_by_priority_and_never_beyond_its_depth() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    run(&e, "select tasker.limit_namespace('test', 2)").await;
    let mut tasks = Vec::new();
    for priority in [0, 5, 1, 9, 5] {
        tasks.push((priority, start_with_priority(&e, priority).await));
    }
    let mut order = Vec::new();
    for expected in [2, 2, 1] {
        assert_eq!(e.enqueue_ready().await, expected);
        assert_eq!(e.enqueue_ready().await, 0, "the queue is full");
        assert_invariants(e.pool()).await;
        for _ in 0..expected {
            let claim = e.claim(1).await.remove(0);
            order.push(tasks.iter().find(|(_, id)| *id == claim.task_id).unwrap().0);
            e.succeed(&claim, json!(1)).await;
        }
        e.process().await;
    }
    assert_eq!(order, [9, 5, 5, 1, 0]);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_step_in_progress_takes_no_room_and_waiting_ones_are_looked_for_often() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    run(&e, "select tasker.limit_namespace('test', 1)").await;
    e.start().await;
    e.start().await;
    assert_eq!(e.enqueue_ready().await, 1);
    assert!(next_due_ms(&e).await.is_some_and(|ms| ms <= 100), "one more waits for room");
    assert_eq!(e.claim(9).await.len(), 1);
    assert_eq!(e.enqueue_ready().await, 1, "the first is claimed");
    run(&e, "select tasker.limit_namespace('test', null)").await;
    e.start().await;
    assert_eq!(e.depth(QUEUE).await, 3, "without a limit a step is sent at once");
}

#[tokio::test]
async fn a_retry_that_comes_due_in_a_paused_namespace_waits_for_its_turn() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    let claim = e.claim(1).await.remove(0);
    e.fail(&claim).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "waiting_for_retry");
    run(&e, "select tasker.pause_namespace('test')").await;
    assert_eq!(e.enqueue_ready().await, 0);
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert_eq!(next_due_ms(&e).await, None, "it is not found due again and again");
    assert_invariants(e.pool()).await;
    run(&e, "select tasker.resume_namespace('test')").await;
    assert_eq!(e.enqueue_ready().await, 1);
    assert_eq!(e.claim(1).await[0].attempt, 2);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_held_step_of_a_cancelled_task_never_starts() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    run(&e, "select tasker.pause_namespace('test')").await;
    let id = e.start().await;
    sqlx::query("select tasker.cancel_task($1)").bind(id).execute(e.pool()).await.unwrap();
    run(&e, "select tasker.resume_namespace('test')").await;
    assert_eq!((e.enqueue_ready().await, e.depth(QUEUE).await), (0, 0));
    let left: i64 = sqlx::query_scalar("select count(*) from tasker.held_steps")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!((e.task_state(id).await.as_str(), left), ("cancelled", 0));
}

#[tokio::test]
async fn a_wrong_namespace_or_limit_is_refused_with_what_to_do() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    assert_eq!(sqlstate(e.pool(), "select tasker.pause_namespace('nope')").await, "TK001");
    assert_eq!(sqlstate(e.pool(), "select tasker.resume_namespace('nope')").await, "TK001");
    assert_eq!(sqlstate(e.pool(), "select tasker.limit_namespace('nope', 1)").await, "TK001");
    assert_eq!(sqlstate(e.pool(), "select tasker.limit_namespace('test', 0)").await, "TK008");
    let twice: Vec<bool> =
        sqlx::query_scalar("select tasker.pause_namespace('test') from generate_series(1, 2)")
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert_eq!(twice, [true, false]);
}

#[tokio::test]
async fn a_step_may_have_a_lease_of_its_own() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[]), ("b", &[]), ("c", &["b"])]);
    template["steps"][0]["lease_seconds"] = json!(600);
    template["steps"][2]["lease_seconds"] = json!(600);
    e.apply(template).await;
    e.start().await;
    let leases = || async {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select m.message ->> 'step', (round(extract(epoch from m.vt - clock_timestamp()) / \
             10) * 10)::bigint from pgmq.q_worker_test_queue m order by 1",
        )
        .fetch_all(e.pool())
        .await
        .unwrap();
        rows
    };
    let claimed: Vec<(String, Option<i32>, Value)> = sqlx::query_as(
        "select step, extract(epoch from lease)::int, jsonb_build_object('task_id', task_id, \
         'step', step, 'claim_no', claim_no)
           from tasker.claim_steps('test', $1, 9, '30 s') order by step",
    )
    .bind(e.worker)
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!((claimed[0].1, claimed[1].1), (Some(600), None));
    let expected = [("a".to_owned(), 600), ("b".to_owned(), 30)];
    assert_eq!(leases().await, expected);
    e.expire_leases().await;
    let all: Vec<&Value> = claimed.iter().map(|(_, _, claim)| claim).collect();
    let answers: Vec<String> =
        sqlx::query_scalar("select status from tasker.extend_leases($1, $2, '30 s')")
            .bind(e.worker)
            .bind(json!(all))
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert_eq!(answers, ["extended", "extended"]);
    assert_eq!(leases().await, expected, "one statement extends each by its own lease");
    // A continuation claim has the worker's lease, so a step with its own goes by the queue.
    let mut result = claimed[1].2.clone();
    result["outcome"] = json!({"type": "success"});
    let statuses: Vec<String> =
        sqlx::query_scalar("select status from tasker.complete_steps($1, $2, 10, '{noop}')")
            .bind(e.worker)
            .bind(json!([result]))
            .fetch_all(e.pool())
            .await
            .unwrap();
    assert_eq!(statuses, ["accepted"]);
    assert_eq!(e.claim(9).await[0].step, "c");
    assert_eq!(leases().await, [("a".to_owned(), 600), ("c".to_owned(), 600)]);
}
