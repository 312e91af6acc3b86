//! What follows from results: children, failures, finished tasks.

use pgtasker_tests::engine::{Engine, flow};
use serde_json::json;

#[tokio::test]
async fn a_child_starts_when_its_last_parent_is_done() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])]).await;
    let id = e.start().await;
    let a = e.claim(9).await;
    e.succeed(&a[0], json!(1)).await;
    assert_eq!(e.process().await, (1, 2, 0));
    let both = e.claim(9).await;
    e.succeed(&both[0], json!(1)).await;
    assert_eq!(e.process().await, (1, 0, 0));
    e.succeed(&both[1], json!(1)).await;
    assert_eq!(e.process().await, (1, 1, 0));
    e.succeed(&e.claim(9).await[0], json!(1)).await;
    assert_eq!(e.process().await, (1, 0, 1));
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn the_last_two_results_in_two_batches_of_two_orchestrators_finish_a_task_once() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).await;
    e.let_results_wait().await;
    for _ in 0..20 {
        let id = e.start().await;
        for claim in e.claim(2).await {
            e.succeed(&claim, json!(1)).await;
        }
        // The first has done its work and not committed: the second takes the other result and must
        // wait for the task.
        let mut first = e.pool().begin().await.unwrap();
        sqlx::query("select * from tasker.process_step_results(1)")
            .execute(&mut *first)
            .await
            .unwrap();
        let second = tokio::spawn({
            let pool = e.pool().clone();
            async move {
                sqlx::query_as::<_, (i32, i32)>(
                    "select processed, enqueued from tasker.process_step_results(1)",
                )
                .fetch_one(&pool)
                .await
                .unwrap()
            }
        });
        pgtasker_tests::eventually(
            "the second to wait for the first",
            std::time::Duration::from_secs(5),
            || async {
                let waiting: i64 = sqlx::query_scalar(
                    "select count(*) from pg_stat_activity where \
                datname = current_database() and wait_event_type = 'Lock'",
                )
                .fetch_one(e.pool())
                .await
                .unwrap();
                if waiting > 0 { Ok(()) } else { Err(waiting) }
            },
        )
        .await;
        first.commit().await.unwrap();
        assert_eq!(
            second.await.unwrap(),
            (1, 1),
            "the second sees what the first did: c is ready, once"
        );
        let c = e.claim(9).await;
        assert_eq!(c.len(), 1);
        e.succeed(&c[0], json!(1)).await;
        e.process().await;
        let completions: i64 = sqlx::query_scalar(
            "select count(*) from tasker.task_transitions where task_id = $1 and to_state = \
             'complete'",
        )
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
        assert_eq!(completions, 1);
    }
}

#[tokio::test]
async fn a_permanent_failure_blocks_its_task_after_the_other_branches() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["b"]), ("d", &["a", "c"])]).await;
    let id = e.start().await;
    let claims = e.claim(9).await;
    e.submit(&claims[0], json!({"type": "failure", "message": "no", "retryable": false})).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "steps_in_process", "b runs on");
    e.succeed(&claims[1], json!(1)).await;
    e.process().await;
    e.succeed(&e.claim(9).await[0], json!(1)).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "blocked_by_failures");
    assert_eq!(e.step_state(id, "d").await, "pending");
}

#[tokio::test]
async fn on_failure_fail_cancels_the_rest_and_ends_in_error() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &["a", "b", "c"])]);
    template["on_failure"] = json!("fail");
    e.apply(template).await;
    let id = e.start().await;
    let claims = e.claim(2).await;
    e.submit(&claims[0], json!({"type": "failure", "message": "no", "retryable": false})).await;
    assert_eq!(e.process().await, (1, 0, 1));
    assert_eq!(e.task_state(id).await, "error");
    assert_eq!(e.succeed(&claims[1], json!(1)).await, "stale");
    assert_eq!(e.claim(9).await, []);
    for step in ["b", "c", "d"] {
        assert_eq!(e.step_state(id, step).await, "cancelled");
    }
    assert_eq!(
        e.text("select error ->> 'step' from tasker.tasks where task_id = $1", id).await,
        "a"
    );
}

#[tokio::test]
async fn a_result_stored_before_its_task_was_cancelled_becomes_cancelled() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id = e.start().await;
    e.succeed(&e.claim(1).await[0], json!(1)).await;
    // Somebody holds the step, so that cancelling skips it.
    let mut holder = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.steps where name = 'a' for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    sqlx::query("select tasker.cancel_task($1)").bind(id).execute(e.pool()).await.unwrap();
    holder.rollback().await.unwrap();
    assert_eq!(e.step_state(id, "a").await, "enqueued_for_orchestration");
    e.process().await;
    assert_eq!(
        (e.step_state(id, "a").await.as_str(), e.step_state(id, "b").await.as_str()),
        ("cancelled", "cancelled")
    );
    assert_eq!(e.task_state(id).await, "cancelled");
}

#[tokio::test]
async fn a_task_with_a_start_time_waits_for_it() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    e.clock(0).await;
    let id: uuid::Uuid = sqlx::query_scalar(
        "select tasker.enqueue_task('test', 'flow', p_run_at => tasker.now() + interval '1 hour')",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    e.initialize().await;
    assert_eq!(
        (e.task_state(id).await.as_str(), e.enqueue_ready().await),
        ("waiting_for_dependencies", 0)
    );
    e.clock(3601).await;
    assert_eq!(e.enqueue_ready().await, 1);
    assert_eq!(e.drain().await, ["a", "b"]);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn priority_orders_what_waits_in_tables() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e.clock(0).await;
    for priority in [1, 9, 5] {
        sqlx::query(
            "select tasker.enqueue_task('test', 'flow', p_priority => $1, p_run_at => \
            tasker.now() + interval '1 minute')",
        )
        .bind(priority)
        .execute(e.pool())
        .await
        .unwrap();
    }
    e.initialize().await;
    e.clock(61).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        sqlx::query("select * from tasker.enqueue_ready_steps(1)").execute(e.pool()).await.unwrap();
        let claim = e.claim(9).await.remove(0);
        let priority: i32 =
            sqlx::query_scalar("select priority from tasker.tasks where task_id = $1")
                .bind(claim.task_id)
                .fetch_one(e.pool())
                .await
                .unwrap();
        order.push(priority);
    }
    assert_eq!(order, [9, 5, 1]);
}

#[tokio::test]
async fn a_refused_context_ends_its_task_in_error() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.enqueue(json!({})).await;
    let (initialized, failed): (i32, i32) = sqlx::query_as(
        "select initialized, failed from tasker.initialize_tasks((select \
         jsonb_agg(jsonb_build_object('msg_id', r.msg_id, 'task_id', r.task_id, 'error', \
         '{\"message\": \"/order_id is missing\", \"code\": \"invalid_context\"}'::jsonb)) from \
         tasker.take_task_requests(9) r))",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((initialized, failed), (0, 1));
    assert_eq!(e.task_path(id).await, ["initializing", "error"]);
    assert_eq!(
        e.text("select error ->> 'message' from tasker.tasks where task_id = $1", id).await,
        "/order_id is missing"
    );
    assert_eq!(e.depth("orchestration_task_requests").await, 0);
}

#[tokio::test]
async fn bad_messages_on_the_orchestrators_queues_become_dead_letters() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    for queue in ["orchestration_step_results", "orchestration_task_requests"] {
        for message in [
            json!({}),
            json!("x"),
            json!({"task_id": "nope"}),
            json!({"task_id": "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", "step": "a", "claim_no": 1}),
        ] {
            sqlx::query("select pgmq.send($1, $2)")
                .bind(queue)
                .bind(message)
                .execute(e.pool())
                .await
                .unwrap();
        }
    }
    let id = e.start().await;
    e.succeed(&e.claim(1).await[0], json!(1)).await;
    assert_eq!(e.process().await, (5, 0, 1), "the good one in the batch is processed");
    assert_eq!(e.task_state(id).await, "complete");
    let dead: i64 = sqlx::query_scalar("select count(*) from tasker.dead_letters")
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(dead, 8);
    assert_eq!(
        (e.depth("orchestration_step_results").await, e.depth("orchestration_task_requests").await),
        (0, 0)
    );
}

/// One update of a child for all its parents in a batch: PostgreSQL applies only one of several to
/// a row.
#[tokio::test]
async fn many_parents_of_one_child_count_in_one_batch() {
    let e = Engine::new().await;
    e.apply_flow(&[
        ("a", &[]),
        ("b", &[]),
        ("c", &[]),
        ("z", &[]),
        ("d", &["a", "b", "c"]),
        ("e", &["a", "b", "c", "d"]),
    ])
    .await;
    let id = e.start().await;
    // z runs on: with nothing else to move, a wrong count would fail the batch, and one by one it
    // would be right.
    let claims = e.claim(9).await;
    for claim in &claims[..3] {
        e.succeed(claim, json!(1)).await;
    }
    assert_eq!(e.process().await, (3, 1, 0));
    let waiting: Vec<(String, i32)> = sqlx::query_as(
        "select name, waiting_on from tasker.steps where task_id = $1 and name in ('d', 'e') \
         order by 1",
    )
    .bind(id)
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(waiting, [("d".to_owned(), 0), ("e".to_owned(), 1)]);
    assert_eq!(e.drain().await, ["d", "e"]);
}

/// Repeated in one batch and after it, and of a claim that has passed: each counts once, or not at
/// all.
#[tokio::test]
async fn a_repeated_or_outdated_message_changes_nothing() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).await;
    let id = e.start().await;
    let send = |claim_no: i32| {
        let message = json!({"task_id": id, "step": "a", "claim_no": claim_no});
        sqlx::query("select pgmq.send('orchestration_step_results', $1)")
            .bind(message)
            .execute(e.pool())
    };
    e.claim(2).await;
    e.expire_leases().await;
    let second = e.claim(2).await;
    assert_eq!((second[0].step.as_str(), second[0].claim_no), ("a", 2));
    send(2).await.unwrap();
    assert_eq!(e.process().await, (1, 0, 0), "its result is not there yet");
    e.succeed(&second[0], json!(1)).await;
    sqlx::query("select pgmq.purge_queue('orchestration_step_results')")
        .execute(e.pool())
        .await
        .unwrap();
    send(1).await.unwrap();
    assert_eq!(e.process().await, (1, 0, 0));
    assert_eq!(e.step_state(id, "a").await, "enqueued_for_orchestration");
    for _ in 0..2 {
        send(2).await.unwrap();
        send(2).await.unwrap();
        assert_eq!(e.process().await, (2, 0, 0));
    }
    let (remaining, waiting): (i32, i32) = sqlx::query_as(
        "select t.remaining::int, s.waiting_on from tasker.tasks t join tasker.steps s using \
         (task_id) where s.name = 'c'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((remaining, waiting), (2, 1));
}

/// What fails for a reason of its own data, here a task whose counters were spoilt, costs only
/// itself.
#[tokio::test]
async fn a_result_that_cannot_be_processed_becomes_a_dead_letter_and_the_rest_goes_on() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let ids = [e.start().await, e.start().await, e.start().await];
    for claim in e.claim(3).await {
        e.succeed(&claim, json!(1)).await;
    }
    sqlx::query("update tasker.tasks set remaining = 9, active = 0 where task_id = $1")
        .bind(ids[1])
        .execute(e.pool())
        .await
        .unwrap();
    sqlx::query("delete from tasker.steps where task_id = $1 and name = 'b'")
        .bind(ids[1])
        .execute(e.pool())
        .await
        .unwrap();
    assert_eq!(e.process().await, (3, 2, 0));
    assert_eq!(e.step_state(ids[0], "b").await, "enqueued");
    assert_eq!(e.step_state(ids[2], "b").await, "enqueued");
    assert_eq!(
        e.step_state(ids[1], "a").await,
        "enqueued_for_orchestration",
        "nothing of it was done by half"
    );
    let detail = e.text("select detail from tasker.dead_letters where task_id = $1", ids[1]).await;
    assert!(detail.contains("TK099"), "{detail}");
    assert_eq!(e.depth("orchestration_step_results").await, 0);
}

#[tokio::test]
async fn a_task_without_steps_is_complete_at_once() {
    let e = Engine::new().await;
    e.apply_flow(&[]).await;
    let id = e.start().await;
    assert_eq!(e.task_path(id).await, ["initializing", "complete"]);
}

/// The safety net: whatever lost a message, the work goes on.
#[tokio::test]
async fn lost_messages_are_sent_again() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.enqueue(json!({})).await;
    assert_eq!(resent_after_two_minutes(&e, "orchestration_task_requests").await, (0, 1));
    e.initialize().await;
    assert_eq!(resent_after_two_minutes(&e, "worker_test_queue").await, (0, 1));
    // For a step in progress as well: its claim has nothing that could run out.
    assert_eq!(e.claim(1).await.len(), 1);
    assert_eq!(resent_after_two_minutes(&e, "worker_test_queue").await, (0, 1));
    e.succeed(&e.claim(1).await[0], json!(1)).await;
    assert_eq!(resent_after_two_minutes(&e, "orchestration_step_results").await, (0, 1));
    assert_eq!(e.process().await, (1, 0, 1));
    assert_eq!(e.task_state(id).await, "complete");
}

/// Makes everything two minutes old and sweeps, once with the message in the queue and once
/// without.
async fn resent_after_two_minutes(e: &Engine, queue: &str) -> (i32, i32) {
    let sweep = || {
        sqlx::query_scalar::<_, i32>("select resent from tasker.finalize_tasks(100)")
            .fetch_one(e.pool())
    };
    let age = format!("update pgmq.q_{queue} set enqueued_at = enqueued_at - interval '2 minutes'");
    sqlx::query("update tasker.tasks set updated_at = updated_at - interval '2 minutes'")
        .execute(e.pool())
        .await
        .unwrap();
    sqlx::query(
        "update tasker.steps set updated_at = updated_at - interval '2 minutes', \
        enqueued_at = enqueued_at - interval '2 minutes'",
    )
    .execute(e.pool())
    .await
    .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(age)).execute(e.pool()).await.unwrap();
    let with = sweep().await.unwrap();
    sqlx::query("select pgmq.purge_queue($1)").bind(queue).execute(e.pool()).await.unwrap();
    (with, sweep().await.unwrap())
}
