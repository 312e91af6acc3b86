//! What operators do to a task or a step: retry, resolve, reset, cancel; each audited with who and
//! why.

use crate::operations::{
    DIAMOND, call, claim_one, code, complete_next, count, diamond, fail_for_good, reasons, result,
};
use pgtasker_tests::{
    engine::{Claim, Engine, flow},
    invariants::assert_invariants,
};
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn a_failed_step_runs_again_with_all_its_attempts() {
    let (e, id) = diamond().await;
    complete_next(&e, "a").await;
    let claims = e.claim(2).await;
    fail_for_good(&e, &claims[0]).await;
    assert_eq!(e.succeed(&claims[1], json!("c")).await, "accepted");
    e.process().await;
    assert_eq!(e.task_state(id).await, "blocked_by_failures");

    let retry = "select tasker.retry_step($1, 'b', 'card network was down', 'ana')";
    assert_eq!(call(&e, retry, id).await, Ok(true));
    assert_invariants(e.pool()).await;
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert_eq!(
        e.text("select coalesce(error::text, 'none') from tasker.tasks where task_id = $1", id)
            .await,
        "none"
    );
    assert_eq!(call(&e, retry, id).await, Ok(false), "a second call changes nothing");
    assert_eq!(e.submit(&claims[0], json!({"type": "success"})).await, "stale");

    assert_eq!(e.enqueue_ready().await, 1);
    let again = claim_one(&e, "b").await;
    assert_eq!((again.attempt, again.claim_no > claims[0].claim_no), (1, true));
    assert_eq!(e.succeed(&again, json!("b")).await, "accepted");
    e.process().await;
    assert_invariants(e.pool()).await;
    complete_next(&e, "d").await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(reasons(&e, id).await, ["retried by ana (login postgres): card network was down"]);
    assert_eq!(
        e.text(
            "select string_agg(from_state || ' ' || to_state, ',' order by transition_id) from \
            tasker.task_transitions where task_id = $1 and reason like 'retried%'",
            id
        )
        .await,
        "blocked_by_failures evaluating_results,evaluating_results waiting_for_dependencies"
    );
    assert_eq!(code(&e, retry, id).await, "TK031");
}

#[tokio::test]
async fn what_cannot_be_retried_is_refused_and_says_what_to_do() {
    let (e, id) = diamond().await;
    assert_eq!(code(&e, "select tasker.retry_step($1, 'nope')", id).await, "TK032");
    assert_eq!(code(&e, "select tasker.retry_step($1, null)", id).await, "TK032");
    assert_eq!(code(&e, "select tasker.retry_step($1, 'a')", Uuid::now_v7()).await, "TK004");
    assert_eq!(
        call(&e, "select tasker.retry_step($1, 'a')", id).await,
        Ok(false),
        "it waits in its queue"
    );
    complete_next(&e, "a").await;
    assert_eq!(code(&e, "select tasker.retry_step($1, 'a')", id).await, "TK033");

    let claims = e.claim(2).await;
    fail_for_good(&e, &claims[0]).await;
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'd', '7')", id).await, Ok(true));
    assert_eq!(
        call(&e, "select tasker.retry_step($1, 'b')", id).await,
        Ok(true),
        "as retry_tasks does"
    );
    assert_invariants(e.pool()).await;

    assert_eq!(call(&e, "select tasker.cancel_task($1, 'wrong order', 'ana')", id).await, Ok(true));
    assert_eq!(code(&e, "select tasker.retry_step($1, 'b')", id).await, "TK031");
    assert_eq!(code(&e, "select tasker.reset_task($1)", id).await, "TK031");
    assert_eq!(code(&e, "select tasker.resolve_step($1, 'b')", id).await, "TK031");
    assert_eq!(call(&e, "select tasker.cancel_task($1)", id).await, Ok(false));
    assert_eq!(call(&e, "select tasker.resolve_task($1)", id).await, Ok(false));
    assert_eq!(
        reasons(&e, id).await,
        [
            "cancelled by ana (login postgres): wrong order",
            "resolved by postgres",
            "retried by postgres"
        ]
    );
}

#[tokio::test]
async fn a_resolved_step_counts_down_once_and_its_late_result_is_stale() {
    let (e, id) = diamond().await;
    complete_next(&e, "a").await;
    let claims = e.claim(2).await;
    let resolve =
        "select tasker.resolve_step($1, 'b', '{\"paid\": true}', 'seen at the bank', 'ana')";
    assert_eq!(call(&e, resolve, id).await, Ok(true));
    assert_eq!(call(&e, resolve, id).await, Ok(false));
    assert_invariants(e.pool()).await;
    assert_eq!(e.task_state(id).await, "steps_in_process", "c still runs");
    assert_eq!(e.submit(&claims[0], json!({"type": "success", "result": "late"})).await, "stale");
    e.expire_leases().await;
    assert_eq!(
        e.claim(10).await.iter().map(|c| c.step.as_str()).collect::<Vec<_>>(),
        ["c"],
        "b's message is dropped"
    );
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'c')", id).await, Ok(true));
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert_invariants(e.pool()).await;
    assert_eq!(e.enqueue_ready().await, 1);
    let last = claim_one(&e, "d").await;
    assert_eq!(last.parents, json!({"b": {"paid": true}, "c": null}));
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'd', '5')", id).await, Ok(true));
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(result(&e, id).await, Some(json!({"d": 5})));
    assert_eq!(e.submit(&last, json!({"type": "success"})).await, "stale");
    assert_eq!(
        call(&e, "select tasker.resolve_step($1, 'd', '6')", id).await,
        Ok(false),
        "not an error either"
    );
    e.expire_leases().await;
    assert_eq!((e.claim(10).await, e.depth("worker_test_queue").await), (vec![], 0));
    assert!(
        reasons(&e, id)
            .await
            .contains(&"resolved by ana (login postgres): seen at the bank".to_owned())
    );
}

#[tokio::test]
async fn a_result_that_waits_to_be_processed_does_not_undo_a_resolution() {
    let (e, id) = diamond().await;
    let claim = claim_one(&e, "a").await;
    assert_eq!(e.succeed(&claim, json!("worker")).await, "accepted");
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'a', '\"operator\"')", id).await, Ok(true));
    assert_eq!(e.process().await, (1, 0, 0));
    assert_invariants(e.pool()).await;
    assert_eq!(e.enqueue_ready().await, 2);
    assert_eq!(e.claim(1).await[0].parents, json!({"a": "operator"}));
}

#[tokio::test]
async fn a_step_held_by_its_handlers_transaction_is_waited_for_only_shortly() {
    let (e, id) = diamond().await;
    claim_one(&e, "a").await;
    let mut handler = e.pool().begin().await.unwrap();
    sqlx::query("select from tasker.steps where name = 'a' for no key update")
        .execute(&mut *handler)
        .await
        .unwrap();
    assert_eq!(code(&e, "select tasker.resolve_step($1, 'a')", id).await, "TK034");
    handler.rollback().await.unwrap();
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'a')", id).await, Ok(true));
}

#[tokio::test]
async fn a_resolved_task_keeps_the_operators_result() {
    let (e, id) = diamond().await;
    complete_next(&e, "a").await;
    let claims = e.claim(1).await;
    let resolve = "select tasker.resolve_task($1, '{\"refund\": 7}', 'done by hand', 'ana')";
    assert_eq!(call(&e, resolve, id).await, Ok(true));
    assert_eq!(call(&e, resolve, id).await, Ok(false));
    assert_eq!(e.task_state(id).await, "resolved_manually");
    assert_eq!(result(&e, id).await, Some(json!({"refund": 7})));
    assert_eq!(e.submit(&claims[0], json!({"type": "success"})).await, "stale");
    for step in ["b", "c", "d"] {
        assert_eq!(e.step_state(id, step).await, "cancelled");
    }
    e.expire_leases().await;
    assert_eq!((e.claim(10).await, e.enqueue_ready().await), (vec![], 0));
    assert_eq!(reasons(&e, id).await, ["resolved by ana (login postgres): done by hand"]);

    let pending = e.enqueue(json!({})).await;
    assert_eq!(call(&e, "select tasker.resolve_task($1)", pending).await, Ok(true));
    e.initialize().await;
    assert_eq!(e.task_state(pending).await, "resolved_manually");
    assert_eq!(result(&e, pending).await, Some(json!({})));
}

/// A diamond whose first failure ends the task, in error by `b` while `c` is being run.
async fn failed_task() -> (Engine, Uuid, Claim) {
    let e = Engine::new().await;
    let mut template = flow(DIAMOND);
    template["on_failure"] = json!("fail");
    e.apply(template).await;
    let id = e.start().await;
    complete_next(&e, "a").await;
    let claims = e.claim(2).await;
    fail_for_good(&e, &claims[0]).await;
    assert_eq!(e.task_state(id).await, "error");
    (e, id, claims[1].clone())
}

#[tokio::test]
async fn a_step_of_a_task_in_error_is_retried_as_its_task_is() {
    let (e, id, _) = failed_task().await;
    assert_eq!(code(&e, "select tasker.retry_step($1, 'a')", id).await, "TK031", "it is complete");
    assert_eq!(
        call(&e, "select tasker.retry_step($1, 'b', 'network is back', 'ana')", id).await,
        Ok(true)
    );
    assert_eq!(call(&e, "select tasker.retry_step($1, 'b')", id).await, Ok(false));
    assert_invariants(e.pool()).await;
    e.enqueue_ready().await;
    assert_eq!(e.drain().await, ["b", "c", "d"]);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn a_task_in_error_begins_again_and_keeps_its_results() {
    let (e, id, running) = failed_task().await;
    let reset = "select tasker.reset_task($1, 'network is back', 'ana')";
    assert_eq!(call(&e, reset, id).await, Ok(true));
    assert_eq!(call(&e, reset, id).await, Ok(false));
    assert_invariants(e.pool()).await;
    assert_eq!(
        e.text(
            "select concat_ws(' ', state, error::text, completed_at, failed) from tasker.tasks \
            where task_id = $1",
            id
        )
        .await,
        "waiting_for_dependencies 0"
    );
    assert_eq!(e.succeed(&running, json!("late")).await, "stale", "of the claim before the reset");
    assert_eq!(e.enqueue_ready().await, 2);
    e.expire_leases().await;
    assert_eq!(
        e.drain().await,
        ["b", "c", "d"],
        "a is not run again, and c once although it has two messages"
    );
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(e.depth("worker_test_queue").await, 0);
    assert_eq!(
        e.text("select result::text from tasker.steps where task_id = $1 and name = 'c'", id).await,
        "\"c\""
    );
    assert_eq!(reasons(&e, id).await, ["reset by ana (login postgres): network is back"]);
    let path = e.task_path(id).await;
    let at = path.iter().position(|s| s == "error").unwrap();
    assert_eq!(
        path[at..at + 5],
        [
            "error",
            "enqueuing_steps",
            "steps_in_process",
            "evaluating_results",
            "waiting_for_dependencies"
        ]
    );
    assert_eq!(code(&e, reset, id).await, "TK031", "it is complete now");
}

#[tokio::test]
async fn a_step_resolved_in_a_task_in_error_counts_at_the_reset() {
    let (e, id, _) = failed_task().await;
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'b', '1')", id).await, Ok(true));
    assert_eq!(
        (e.task_state(id).await.as_str(), e.step_state(id, "d").await.as_str()),
        ("error", "cancelled")
    );
    assert_eq!(call(&e, "select tasker.reset_task($1)", id).await, Ok(true));
    assert_invariants(e.pool()).await;
    assert_eq!(e.enqueue_ready().await, 1);
    e.expire_leases().await;
    assert_eq!(e.drain().await, ["c", "d"]);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn a_task_whose_steps_were_all_resolved_in_error_is_complete_at_the_reset() {
    let (e, id, _) = failed_task().await;
    for query in [
        "select tasker.resolve_step($1, 'b')",
        "select tasker.resolve_step($1, 'c')",
        "select tasker.resolve_step($1, 'd', '1')",
    ] {
        assert_eq!(call(&e, query, id).await, Ok(true));
    }
    assert_eq!(call(&e, "select tasker.reset_task($1)", id).await, Ok(true));
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(result(&e, id).await, Some(json!({"d": 1})));
}

#[tokio::test]
async fn a_task_whose_context_was_refused_is_checked_again() {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let id = e.enqueue(json!({})).await;
    let refuse = "select i.failed from (select jsonb_agg(jsonb_build_object('msg_id', r.msg_id, \
        'task_id', r.task_id, 'error', '{\"message\": \"no\"}'::jsonb)) as v
                    from tasker.take_task_requests(10) r) r, tasker.initialize_tasks(r.v) i";
    let failed: i32 = sqlx::query_scalar(refuse).fetch_one(e.pool()).await.unwrap();
    assert_eq!((failed, e.task_state(id).await.as_str()), (1, "error"));
    assert_eq!(count(&e, "select tasker.retry_tasks($1)", json!({"task_ids": [id]})).await, 1);
    assert_eq!(e.task_state(id).await, "pending");
    e.initialize().await;
    assert_eq!(e.drain().await.len(), 4);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn what_an_operator_makes_ready_obeys_a_pause() {
    let (e, id) = diamond().await;
    let first = claim_one(&e, "a").await;
    sqlx::query("select tasker.pause_namespace('test')").execute(e.pool()).await.unwrap();
    fail_for_good(&e, &first).await;
    assert_eq!(call(&e, "select tasker.retry_step($1, 'a')", id).await, Ok(true));
    assert_eq!(e.enqueue_ready().await, 0);
    assert_invariants(e.pool()).await;
    assert_eq!(call(&e, "select tasker.resolve_step($1, 'a', '1')", id).await, Ok(true));
    assert_eq!(e.enqueue_ready().await, 0);
    assert_invariants(e.pool()).await;
    let held =
        "select string_agg(step, ',' order by step) from tasker.held_steps where task_id = $1";
    assert_eq!(e.text(held, id).await, "b,c");

    let other = e.start().await;
    assert_eq!(call(&e, "select tasker.cancel_task($1)", other).await, Ok(true));
    assert_eq!(
        e.text("select count(*)::text from tasker.held_steps where task_id = $1", other).await,
        "0"
    );
    sqlx::query("select tasker.resume_namespace('test')").execute(e.pool()).await.unwrap();
    assert_eq!(e.enqueue_ready().await, 2);
    assert_eq!(e.drain().await, ["b", "c", "d"]);
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}
