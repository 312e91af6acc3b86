//! Steps whose handler finds nothing to do.

use crate::{
    conditions::{seen, task, with},
    dynamic::{complete, only},
};
use pgtasker_tests::invariants::assert_invariants;
use rstest::rstest;
use serde_json::{Value, json};

const SKIP: &[(&str, &str, &[&str])] = &[
    ("a", "standard", &[]),
    ("b", "standard", &["a"]),
    ("c", "deferred", &["a", "b"]),
    ("d", "standard", &["b"]),
];

#[rstest]
#[case::left_out(json!({"may_skip": true}), "not_chosen", json!({"a": null}))]
#[case::done(json!({"may_skip": true, "when_false": "complete"}), "enqueued", json!({}))]
#[tokio::test]
async fn a_handler_may_skip_its_step(
    #[case] keys: Value,
    #[case] after: &str,
    #[case] result: Value,
) {
    let (e, id) = task(with(SKIP, &[("a", keys)]), json!({})).await;
    let a = only(&e, "a").await;
    for step in ["b", "c", "d"] {
        assert_eq!(seen(&e, id, step).await, "undecided");
    }
    assert_eq!(e.submit(&a, json!({"type": "skip"})).await, "accepted");
    e.process().await;
    assert_eq!(e.step_state(id, "a").await, "complete");
    assert_eq!(seen(&e, id, "b").await, after);
    if after == "not_chosen" {
        assert_eq!(e.task_state(id).await, "complete");
        let given: Value = sqlx::query_scalar("select tasker.task_result($1)")
            .bind(id)
            .fetch_one(e.pool())
            .await
            .unwrap();
        assert_eq!(given, result);
    }
    assert_invariants(e.pool()).await;

    // One that does not skip is followed by all, and an operator may skip it.
    let id = e.enqueue(json!({})).await;
    e.initialize().await;
    let a = e.claim(9).await.into_iter().find(|claim| claim.task_id == id).unwrap();
    complete(&e, &a).await;
    assert_eq!(e.step_state(id, "b").await, "enqueued");
    let id = e.enqueue(json!({})).await;
    e.initialize().await;
    sqlx::query("select tasker.resolve_step($1, 'a', p_outcome => '{\"type\": \"skip\"}')")
        .bind(id)
        .execute(e.pool())
        .await
        .unwrap();
    let then = seen(&e, id, "b").await;
    assert_eq!(then, if after == "enqueued" { "pending" } else { "not_chosen" });
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_step_that_may_not_skip_fails_by_name() {
    let (e, id) = task(with(SKIP, &[]), json!({})).await;
    let a = only(&e, "a").await;
    assert_eq!(e.submit(&a, json!({"type": "skip"})).await, "rejected");
    e.process().await;
    let error =
        e.text("select error::text from tasker.steps where task_id = $1 and name = 'a'", id);
    let error: Value = serde_json::from_str(&error.await).unwrap();
    assert_eq!(error["code"], "invalid_outcome");
    assert!(error["message"].as_str().unwrap().contains("may_skip: true"), "{error}");
}
