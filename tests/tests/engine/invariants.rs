//! Each invariant finds what it is there for: with one function of the engine broken on purpose, it
//! complains.

use pgtasker_tests::{
    engine::{Engine, flow},
    invariants::{INVARIANTS, assert_invariants, violations},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An invariant, the function to break, and what in it becomes what.
const SABOTAGE: &[(&str, &str, &str, &str)] = &[
    (
        "counters of an unfinished task",
        "evaluate_tasks",
        "t.active - c.settled + coalesce(r.n, 0)",
        "t.active + 1",
    ),
    (
        "the state of a task follows",
        "evaluate_tasks",
        "state = tasker.derive_task_state(n.remaining, n.active, n.held, n.waiting_retry, \
         n.failed, n.failing)",
        "state = 'waiting_for_retry'",
    ),
    (
        "a task has completed_at",
        "evaluate_tasks",
        "case when n.remaining = 0 or n.failing then p_now end",
        "null",
    ),
    (
        "a complete task has only satisfied",
        "evaluate_tasks",
        "t.remaining - c.done + coalesce(m.n, 0) as remaining",
        "0::bigint as remaining",
    ),
    (
        "a step is satisfied when",
        "settle_steps",
        "satisfied = not r.finished and (s.error is null",
        "satisfied = (true or s.error is null",
    ),
    (
        "waiting_on counts",
        "move_children",
        "waiting_on = s.waiting_on - i.n",
        "waiting_on = s.waiting_on",
    ),
    ("no step begins before", "make_first_steps", "tmpl.parent_count = 0", "true"),
    (
        "the steps of a task are those",
        "unmade_nodes",
        "where n.presence = 'exists'",
        "where n.presence <> 'exists'",
    ),
    (
        "a step completes at most once",
        "audit_steps",
        "unnest(p.hops[2:])",
        "unnest(p.hops[2:] || p.hops[2:])",
    ),
    ("the audit of a step", "audit_steps", "p.hops[h.n], h.to_state", "h.to_state, h.to_state"),
    ("the audit of a task", "audit_tasks", "p.hops[h.n], h.to_state", "h.to_state, h.to_state"),
    (
        "no step has more attempts",
        "claim_judged",
        "attempt = s.attempt - c.lost::int",
        "attempt = s.attempt",
    ),
    (
        "a step that is enqueued or in progress",
        "send_or_hold",
        "perform tasker.send_steps(p_task_ids, p_steps)",
        "null",
    ),
    (
        "a step with a result to process",
        "store_outcomes",
        "perform tasker.send_results(v_messages)",
        "null",
    ),
    (
        "a ready step has its time or its place",
        "send_or_hold",
        "perform tasker.hold_steps(v_held_tasks, v_held_steps)",
        "null",
    ),
    (
        "a pending task has its request",
        "enqueue_task",
        "jsonb_build_object('task_id', v_task_id)",
        "jsonb_build_object('task_id', 7)",
    ),
];

/// A bit of everything, left half done: successes, a failure, leases that run out, a pause, a new
/// task.
async fn exercise(e: &Engine) {
    let mut one = flow(&[("a", &[])]);
    one["version"] = json!("0");
    e.apply(one).await;
    e.start().await;
    e.succeed(&e.claim(1).await[0], json!(1)).await;
    e.process().await;
    e.apply(flow(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])])).await;
    for _ in 0..4 {
        e.start().await;
    }
    let mut roots = e.claim(4).await;
    let lost = roots.pop().unwrap();
    e.fail(&roots.pop().unwrap()).await;
    for root in &roots {
        e.succeed(root, json!(1)).await;
    }
    e.process().await;
    for _ in 0..4 {
        e.expire_leases().await;
        e.claim(9).await;
    }
    e.submit(&lost, json!({"type": "success"})).await;
    e.start().await;
    sqlx::query("select tasker.pause_namespace('test')").execute(e.pool()).await.unwrap();
    let last = e.claim(9).await.remove(0);
    e.succeed(&last, json!(1)).await;
    e.process().await;
    sqlx::query("select tasker.resume_namespace('test')").execute(e.pool()).await.unwrap();
    e.start().await;
    let unprocessed = e.claim(9).await.remove(0);
    e.succeed(&unprocessed, json!(1)).await;
    e.apply(choices()).await;
    e.start().await;
    for claim in e.claim(9).await.iter().filter(|claim| claim.step == "route") {
        e.submit(claim, json!({"type": "decision", "create_steps": ["cut"]})).await;
    }
    e.process().await;
    for claim in e.claim(9).await.iter().filter(|claim| claim.step == "cut") {
        e.submit(claim, json!({"type": "batches", "cursors": [1, 2, 3]})).await;
    }
    e.process().await;
    for claim in e.claim(9).await.iter().filter(|claim| claim.step == "work_002") {
        e.submit(claim, json!({"type": "failure", "message": "no", "retryable": false})).await;
    }
    e.process().await;
    e.enqueue(json!({})).await;
}

/// A decision, and a batch that goes on after a failure.
fn choices() -> Value {
    let step = |name: &str, kind: &str, parents: Value| {
        json!({
            "name": name,
            "type": kind,
            "dependencies": parents,
            "handler": {"callable": "h"},
        })
    };
    let mut work = step("work", "batch_worker", json!(["cut"]));
    work["failure_strategy"] = json!("continue_on_failure");
    json!({
        "namespace": "test",
        "name": "flow",
        "version": "choices",
        "steps": [
            step("route", "decision", json!([])),
            step("cut", "batchable", json!(["route"])),
            step("other", "standard", json!(["route"])),
            work,
            step("end", "deferred", json!(["work", "other"])),
        ],
    })
}

#[tokio::test]
async fn the_engine_as_it_is_keeps_them_all() {
    let e = Engine::new().await;
    exercise(&e).await;
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn each_finds_what_it_is_there_for() {
    for (invariant, function, from, to) in SABOTAGE {
        let e = std::sync::Arc::new(Engine::new().await);
        e.break_function(function, from, to).await;
        // A broken engine may well refuse to go on.
        let exercised = tokio::spawn({
            let e = std::sync::Arc::clone(&e);
            async move { exercise(&e).await }
        });
        let went_on = exercised.await.is_ok();
        let found = violations(e.pool()).await;
        assert!(
            found.iter().any(|violation| violation.starts_with(invariant)),
            "{function} broken, went on: {went_on}, and \"{invariant}\" found nothing; others: \
             {found:#?}"
        );
    }
}

#[test]
fn each_has_its_sabotage() {
    let without: BTreeSet<&str> = INVARIANTS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !SABOTAGE.iter().any(|(invariant, ..)| name.starts_with(invariant)))
        .collect();
    assert!(without.is_empty(), "{without:?}");
}
