//! The output of a template: what its tasks give as their result.

use crate::dynamic::{complete, only};
use pgtasker_tests::{
    TestDb,
    engine::{Engine, flow, growing_flow},
    invariants::assert_invariants,
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

fn with_output(mut template: Value, output: Value) -> Value {
    template["constants"] = json!({"currency": "EUR"});
    template["output"] = output;
    template
}

async fn result(e: &Engine, id: Uuid) -> Value {
    let result: Option<Value> = sqlx::query_scalar("select tasker.task_result($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    result.unwrap_or_default()
}

async fn errors(e: &Engine, id: Uuid) -> Value {
    let status: Value = sqlx::query_scalar("select tasker.task_status($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    status["output_errors"].clone()
}

/// Completes what is there with these results, in the worker's call or by the queue.
async fn finish(e: &Engine, at_once: bool, results: &[(&str, Value)]) {
    for (step, result) in results {
        let claim = only(e, step).await;
        if at_once {
            let outcome = json!([{"task_id": claim.task_id, "step": step,
                                  "claim_no": claim.claim_no,
                                  "outcome": {"type": "success", "result": result}}]);
            sqlx::query("select * from tasker.complete_steps($1, $2)")
                .bind(e.worker)
                .bind(outcome)
                .execute(e.pool())
                .await
                .unwrap();
        } else {
            assert_eq!(e.succeed(&claim, result.clone()).await, "accepted");
            e.process().await;
        }
    }
}

#[rstest]
#[case::by_the_queue(false)]
#[case::at_once(true)]
#[tokio::test]
async fn a_task_gives_what_its_template_says(#[case] at_once: bool) {
    let e = Engine::new().await;
    e.apply(with_output(
        flow(&[("a", &[]), ("b", &["a"])]),
        json!({
            "receipt": "$.steps.a.id",
            "lines": {"all": ["$.steps.a.lines[*].n"], "currency": "$.constants.currency"},
            "order": "$.context.order",
            "of": "$.task.name",
            "absent": "$.steps.b.nothing",
            "plain": 1,
        }),
    ))
    .await;
    let id = e.enqueue(json!({"order": 7})).await;
    e.initialize().await;
    assert_eq!(result(&e, id).await, json!(null), "not before its end");
    let lines = json!({"id": "r-1", "lines": [{"n": 1}, {"n": 2}]});
    finish(&e, at_once, &[("a", lines), ("b", json!(null))]).await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(
        result(&e, id).await,
        json!({"receipt": "r-1", "lines": {"all": [[1, 2]], "currency": "EUR"}, "order": 7,
               "of": "flow", "absent": null, "plain": 1})
    );
    assert_eq!(errors(&e, id).await, json!(null));
    assert_invariants(e.pool()).await;
}

#[rstest]
#[case::by_the_queue(false)]
#[case::at_once(true)]
#[tokio::test]
async fn a_key_that_cannot_be_made_is_null_and_says_why(#[case] at_once: bool) {
    let e = Engine::new().await;
    e.apply(with_output(
        flow(&[("a", &[])]),
        json!({
            "fine": "$.steps.a.text",
            "number": "$.steps.a.text.floor()",
            "x_large": ["$.context.fill", "$.context.fill"],
            "y_fits": "$.context.fill",
            "z_no_more": "$.context.fill",
        }),
    ))
    .await;
    let fill = "x".repeat(600_000);
    let id = e.enqueue(json!({"fill": fill})).await;
    e.initialize().await;
    finish(&e, at_once, &[("a", json!({"text": "no number"}))]).await;
    assert_eq!(e.task_state(id).await, "complete", "an error changes no end");
    assert_eq!(
        result(&e, id).await,
        json!({"fine": "no number", "number": null, "x_large": null, "y_fits": fill,
               "z_no_more": null})
    );
    let errors = errors(&e, id).await;
    let keys: Vec<&String> = errors.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["number", "x_large", "z_no_more"]);
    assert!(errors["number"].as_str().unwrap().contains("$.steps.a.text.floor()"), "{errors}");
    assert!(errors["x_large"].as_str().unwrap().contains("max_result_bytes"), "{errors}");
}

#[tokio::test]
async fn steps_that_do_not_exist_give_null_and_batches_their_summary() {
    let e = Engine::new().await;
    e.apply(with_output(
        growing_flow(&[
            ("choose", "decision", &[]),
            ("left", "standard", &["choose"]),
            ("right", "batchable", &["choose"]),
            ("part", "batch_worker", &["right"]),
            ("meet", "deferred", &["left", "part"]),
        ]),
        json!({"left": "$.steps.left", "parts": "$.steps.part.complete"}),
    ))
    .await;
    for (chosen, expected) in [
        ("right", json!({"left": null, "parts": 2})),
        ("left", json!({"left": "left", "parts": null})),
    ] {
        let id = e.start().await;
        e.decide(&only(&e, "choose").await, &[chosen]).await;
        e.process().await;
        let claim = only(&e, chosen).await;
        if chosen == "right" {
            e.split(&claim, json!([1, 2])).await;
            e.process().await;
            for claim in e.claim(9).await {
                complete(&e, &claim).await;
            }
        } else {
            complete(&e, &claim).await;
        }
        complete(&e, &only(&e, "meet").await).await;
        assert_eq!(result(&e, id).await, expected);
        assert_invariants(e.pool()).await;
    }
}

#[tokio::test]
async fn operators_ends_make_it_too_and_their_result_wins() {
    let e = Engine::new().await;
    let output = json!({"a": "$.steps.a", "b": "$.steps.b"});
    e.apply(with_output(flow(&[("a", &[]), ("b", &["a"])]), output)).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(e.start().await);
    }
    for claim in e.claim(9).await {
        complete(&e, &claim).await;
    }
    for query in [
        "select tasker.resolve_step($1, 'b', '\"by hand\"', 'why', 'me')::text",
        "select tasker.resolve_task($1, null, 'why', 'me')::text",
        "select tasker.resolve_task($1, '{\"by\": \"hand\"}', 'why', 'me')::text",
    ]
    .iter()
    .zip(&ids)
    {
        e.text(query.0, *query.1).await;
    }
    assert_eq!(e.task_state(ids[0]).await, "complete");
    assert_eq!(result(&e, ids[0]).await, json!({"a": "a", "b": "by hand"}));
    assert_eq!(result(&e, ids[1]).await, json!({"a": "a", "b": null}));
    assert_eq!(result(&e, ids[2]).await, json!({"by": "hand"}));
    assert_invariants(e.pool()).await;
}

#[rstest]
#[case::no_step(json!({"x": "$.steps.z"}), "/output/x", "unknown_step")]
#[case::all_steps(json!({"x": "$.steps"}), "/output/x", "unknown_name")]
#[case::any_step(json!({"x": "$.steps.*"}), "/output/x", "unknown_name")]
#[case::parents(json!({"x": ["$.parents.a"]}), "/output/x/0", "unknown_name")]
#[case::no_constant(json!({"x": "$.constants.host"}), "/output/x", "unknown_constant")]
#[case::no_path(json!({"x": "$.steps.a["}), "/output/x", "invalid_path")]
#[case::no_object(json!("$.steps.a"), "/output", "invalid_type")]
#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_its_place(
    #[case] output: Value,
    #[case] at: &str,
    #[case] code: &str,
) {
    let db = TestDb::new().await;
    let problems: Vec<(String, String)> =
        sqlx::query_as("select path, code from tasker.validate_template($1)")
            .bind(with_output(flow(&[("a", &[])]), output))
            .fetch_all(&db.pool)
            .await
            .unwrap();
    assert_eq!(problems, [(at.to_owned(), code.to_owned())]);
}
