//! What follows a step that has failed for good, where its template says so.

use crate::{
    conditions::{seen, task, with},
    dynamic::{complete, only, steps_there},
};
use pgtasker_tests::{
    engine::{Engine, pick},
    invariants::assert_invariants,
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

/// A step with a child for each way that it may end.
const ENDS: &[(&str, &str, &[&str])] = &[
    ("charge", "standard", &[]),
    ("ship", "standard", &["charge"]),
    ("refund", "standard", &[]),
    ("report", "standard", &[]),
];

fn ends(on_error: bool) -> Value {
    let on = |kind: &str| json!({"dependencies": [{"step": "charge", "on": kind}]});
    let mut keys = vec![("refund", on("failed")), ("report", on("ended"))];
    if on_error {
        keys.push(("charge", json!({"on_error": "continue"})));
    }
    let mut template = with(ENDS, &keys);
    template["steps"][0]["retry"] = json!({"max_attempts": 2, "backoff_base_ms": 0});
    template["steps"][2]["inputs"] = json!({
        "code": "$.errors.charge.code", "text": "$.errors.charge.message",
        "attempts": "$.errors.charge.attempts", "result": "$.parents.charge",
    });
    template["output"] = json!({"error": "$.errors.charge.code", "ship": "$.steps.ship"});
    template
}

async fn fail(e: &Engine, step: &str, retryable: bool) {
    let claim = pick(&e.claim(9).await, step);
    let failure = json!({"type": "failure", "message": "no money", "code": "declined",
                         "retryable": retryable});
    assert_eq!(e.submit(&claim, failure).await, "accepted");
    e.process().await;
}

async fn dead_letters(e: &Engine, id: Uuid) -> i64 {
    sqlx::query_scalar("select count(*) from tasker.dead_letters where task_id = $1")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap()
}

#[rstest]
#[case::blocking("block")]
#[case::failing("fail")]
#[tokio::test]
async fn a_failure_that_is_handled_neither_blocks_nor_ends_its_task(#[case] on_failure: &str) {
    let mut template = ends(false);
    template["on_failure"] = json!(on_failure);
    let (e, id) = task(template, json!({})).await;
    fail(&e, "charge", true).await;
    // Another attempt: nothing is known yet.
    for step in ["ship", "refund", "report"] {
        assert_eq!(seen(&e, id, step).await, "undecided");
    }
    e.enqueue_ready().await;
    fail(&e, "charge", true).await;
    let there = ["charge error", "refund enqueued", "report enqueued"];
    assert_eq!(steps_there(e.pool(), id).await, there);
    assert_eq!(seen(&e, id, "ship").await, "not_chosen");
    assert_eq!(dead_letters(&e, id).await, 0);
    assert_invariants(e.pool()).await;

    let claims = e.claim(9).await;
    assert_eq!(
        pick(&claims, "refund").inputs,
        Some(json!({"code": "declined", "text": "no money", "attempts": 2, "result": null}))
    );
    complete(&e, &pick(&claims, "refund")).await;
    complete(&e, &pick(&claims, "report")).await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(
        e.text("select tasker.task_result($1)::text", id).await,
        r#"{"ship": null, "error": "declined"}"#
    );
    assert_eq!(dead_letters(&e, id).await, 0);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_success_is_followed_by_what_waits_for_it() {
    let (e, id) = task(ends(false), json!({})).await;
    let charge = only(&e, "charge").await;
    complete(&e, &charge).await;
    let there = ["charge complete", "report enqueued", "ship enqueued"];
    assert_eq!(steps_there(e.pool(), id).await, there);
    assert_eq!(seen(&e, id, "refund").await, "not_chosen");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn on_error_continue_lets_all_of_them_run() {
    let (e, id) = task(ends(true), json!({})).await;
    fail(&e, "charge", false).await;
    let there = ["charge error", "refund enqueued", "report enqueued", "ship enqueued"];
    assert_eq!(steps_there(e.pool(), id).await, there);
    for step in ["ship", "refund", "report"] {
        let claims = e.claim(9).await;
        complete(&e, &pick(&claims, step)).await;
        e.expire_leases().await;
    }
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn operators_cannot_undo_what_has_been_followed() {
    let (e, id) = task(ends(false), json!({})).await;
    fail(&e, "charge", false).await;
    let retried: Result<bool, sqlx::Error> =
        sqlx::query_scalar("select tasker.retry_step($1, 'charge')")
            .bind(id)
            .fetch_one(e.pool())
            .await;
    let error = retried.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "TK033");
    assert!(error.to_string().contains("goes on without it"), "{error}");
    let resolved: bool = sqlx::query_scalar("select tasker.resolve_step($1, 'charge')")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert!(!resolved);

    // One that is resolved before it fails has ended well.
    let id = e.enqueue(json!({})).await;
    e.initialize().await;
    sqlx::query("select tasker.resolve_step($1, 'charge', '1')")
        .bind(id)
        .execute(e.pool())
        .await
        .unwrap();
    assert_eq!(seen(&e, id, "refund").await, "not_chosen");
    assert_eq!(seen(&e, id, "ship").await, "pending");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn one_handler_for_the_failures_of_three_steps() {
    let on = |step: &str| json!({"step": step, "on": "failed"});
    let template = with(
        &[
            ("a", "standard", &[]),
            ("b", "standard", &["a"]),
            ("c", "standard", &["b"]),
            ("handler", "deferred", &[]),
        ],
        &[(
            "handler",
            json!({"dependencies": [on("a"), on("b"), on("c")],
                   "inputs": {"errors": "$.errors", "b": "$.errors.b.message"}}),
        )],
    );
    let (e, id) = task(template, json!({})).await;
    let a = only(&e, "a").await;
    complete(&e, &a).await;
    fail(&e, "b", false).await;
    let claim = only(&e, "handler").await;
    let error = json!({"code": "declined", "message": "no money", "attempts": 1});
    assert_eq!(claim.inputs, Some(json!({"errors": {"b": error}, "b": "no money"})));
    assert_eq!(seen(&e, id, "c").await, "not_chosen");
    complete(&e, &claim).await;
    assert_eq!(e.task_state(id).await, "complete");

    // Where all of them end well, it is not there.
    let id = e.enqueue(json!({})).await;
    e.initialize().await;
    for step in ["a", "b", "c"] {
        let claim = only(&e, step).await;
        complete(&e, &claim).await;
    }
    assert_eq!(seen(&e, id, "handler").await, "not_chosen");
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn what_cannot_be_judged_or_made_is_a_failure_too() {
    let template = with(
        &[
            ("a", "standard", &[]),
            ("judged", "standard", &["a"]),
            ("made", "standard", &["a"]),
            ("after", "deferred", &[]),
        ],
        &[
            ("judged", json!({"when": "$.context.n > 1"})),
            ("made", json!({"inputs": {"x": "$.context.x"}, "inputs_required": ["x"]})),
            (
                "after",
                json!({"dependencies": [
                    {"step": "judged", "on": "failed"}, {"step": "made", "on": "failed"}
                ], "when": "$.errors.made.code == \"missing_input\" \
                            && exists($.errors.judged)"}),
            ),
        ],
    );
    let (e, id) = task(template, json!({"n": "x"})).await;
    let a = only(&e, "a").await;
    complete(&e, &a).await;
    e.process().await;
    assert!(e.claim(9).await.is_empty());
    e.process().await;
    let there = ["a complete", "after enqueued", "judged error", "made error"];
    assert_eq!(steps_there(e.pool(), id).await, there);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_decision_that_fails_can_be_followed() {
    let template = with(
        &[("route", "decision", &[]), ("x", "standard", &["route"]), ("bad", "standard", &[])],
        &[("bad", json!({"dependencies": [{"step": "route", "on": "failed"}]}))],
    );
    let (e, id) = task(template, json!({})).await;
    fail(&e, "route", false).await;
    assert_eq!(steps_there(e.pool(), id).await, ["bad enqueued", "route error"]);
    let id = e.enqueue(json!({})).await;
    e.initialize().await;
    let route = pick(&e.claim(9).await, "route");
    assert_eq!(e.decide(&route, &["x"]).await, "accepted");
    e.process().await;
    assert_eq!(steps_there(e.pool(), id).await, ["route complete", "x enqueued"]);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn what_an_edge_cannot_be_is_refused_with_its_place() {
    let e = Engine::new().await;
    let steps: &[(&str, &str, &[&str])] = &[
        ("a", "batchable", &[]),
        ("w", "batch_worker", &["a"]),
        ("b", "standard", &["a"]),
        ("d", "decision", &["b"]),
        ("z", "standard", &["d"]),
    ];
    let on = |step: Value, on: Value| json!({"dependencies": [{"step": step, "on": on}]});
    let twice = json!({"dependencies": ["a", {"step": "a", "on": "failed"}]});
    let third = json!({"dependencies": [{"step": "a", "when": "failed"}]});
    let cases = [
        ("b", on(json!("a"), json!("error")), "/steps/2/dependencies/0", "complete, failed, or"),
        ("b", on(json!("a"), json!(1)), "/steps/2/dependencies/0", "complete, failed, or"),
        ("b", on(json!("no"), json!("failed")), "/steps/2/dependencies/0", "no step \"no\""),
        ("b", on(json!("b"), json!("failed")), "/steps/2/dependencies/0", "cycle"),
        ("b", on(json!(3), json!("failed")), "/steps/2/dependencies/0", "the name of a step"),
        ("b", twice, "/steps/2/dependencies/1", "on: ended"),
        ("b", third, "/steps/2/dependencies/0", "the keys step and on"),
        ("b", on(json!("w"), json!("failed")), "/steps/2/dependencies/0", "continue_on_failure"),
        ("w", on(json!("a"), json!("ended")), "/steps/1/dependencies/0", "the cursors"),
        ("b", json!({"on_error": "ignore"}), "/steps/2/on_error", "on_error is continue"),
        ("w", json!({"on_error": "continue"}), "/steps/1/on_error", "continue_on_failure"),
        ("d", json!({"on_error": "continue"}), "/steps/3/on_error", "on: failed"),
    ];
    for (step, keys, place, text) in cases {
        let problems: Vec<(String, String)> =
            sqlx::query_as("select path, message from tasker.validate_template($1)")
                .bind(with(steps, &[(step, keys)]))
                .fetch_all(e.pool())
                .await
                .unwrap();
        let found = problems.iter().any(|(path, message)| path == place && message.contains(text));
        assert!(found, "{step} {text}: {problems:?}");
    }
}

#[tokio::test]
async fn the_errors_that_a_condition_names_count() {
    let steps: &[(&str, &str, &[&str])] = &[("a", "standard", &[]), ("b", "standard", &[])];
    let when = r#"exists($.errors.* ? (@.message like_regex "[ab]*a[ab]{90}c"))"#;
    let keys = json!({"when": when, "dependencies": [{"step": "a", "on": "ended"}]});
    let (e, id) = task(with(steps, &[("b", keys)]), json!({})).await;
    sqlx::query("update tasker.template_steps set condition = condition || '{\"bytes\": 5000}'")
        .execute(e.pool())
        .await
        .unwrap();
    let a = only(&e, "a").await;
    let failure = json!({"type": "failure", "message": "ab".repeat(4000), "retryable": false});
    assert_eq!(e.submit(&a, failure).await, "accepted");
    e.process().await;
    e.process().await;
    let code = "select error ->> 'code' from tasker.steps where task_id = $1 and name = 'b'";
    assert_eq!(e.text(code, id).await, "condition_too_large");
}

/// A step looks at what depends on it only where that could come into being.
#[tokio::test]
async fn one_handler_waits_for_the_last_of_many_steps() {
    let names: Vec<String> = (0..300).map(|n| format!("s{n}")).collect();
    let roots: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut steps: Vec<(&str, &str, &[&str])> =
        roots.iter().map(|name| (*name, "standard", &[][..])).collect();
    steps.push(("end", "deferred", &[]));
    let on: Vec<Value> = roots.iter().map(|s| json!({"step": s, "on": "failed"})).collect();
    let keys = [("end", json!({"dependencies": on}))];
    let (e, id) = task(with(&steps, &keys), json!({})).await;
    let claims = e.claim(1000).await;
    let (last, others) = claims.split_last().unwrap();
    for claim in others {
        assert_eq!(e.succeed(claim, json!(1)).await, "accepted");
        e.process().await;
    }
    assert_eq!(seen(&e, id, "end").await, "undecided");
    complete(&e, last).await;
    assert_eq!(seen(&e, id, "end").await, "not_chosen");
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}
