//! Inputs that a template makes of the context, constants, and the results of parents.

use crate::{
    conditions::message,
    world::{SOON, World},
};
use pgtasker_tests::{
    TestDb,
    engine::{Engine, flow, growing_flow, pick},
    invariants::assert_invariants,
};
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use uuid::Uuid;

/// `test.flow` with these inputs of its steps, and the constant `table`.
fn with_inputs(mut template: Value, inputs: &[(&str, Value)]) -> Value {
    template["constants"] = json!({"table": "orders", "list": [1, {"a": 2}]});
    for step in template["steps"].as_array_mut().unwrap() {
        for (name, value) in inputs {
            if step["name"] == *name {
                step["inputs"] = value.clone();
            }
        }
    }
    template
}

/// Has no attempt, and this code; its message has `text`.
async fn assert_failed(e: &Engine, id: Uuid, step: &str, code: &str, text: &str) {
    let message = message(e, id, step).await;
    assert!(message.starts_with(&format!("{code}: ")) && message.contains(text), "{message}");
}

async fn inputs(e: &Engine, id: Uuid, step: &str) -> Option<Value> {
    sqlx::query_scalar("select inputs from tasker.steps where task_id = $1 and name = $2")
        .bind(id)
        .bind(step)
        .fetch_one(e.pool())
        .await
        .unwrap()
}

async fn echo(ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(ctx.inputs::<Value>()?))
}

#[rstest]
#[case::pushed(false)]
#[case::polled(true)]
#[tokio::test]
async fn a_handler_gets_what_the_template_makes(#[case] poll_only: bool) {
    let mut world = World::new().await;
    world.poll_only = poll_only;
    let mut template = flow(&[("root", &[]), ("other", &["root"]), ("leaf", &["root", "other"])]);
    for step in template["steps"].as_array_mut().unwrap() {
        step["handler"]["callable"] = json!("echo");
    }
    world
        .apply(with_inputs(
            template,
            &[
                ("root", json!({"id": "$.context.order.id", "big": "$.context.big"})),
                (
                    "leaf",
                    json!({
                        "id": "$.parents.root.id",
                        "whole": "$.parents.root",
                        "no inputs": "$.parents.other",
                        "absent": "$.context.nowhere.at.all",
                        "element": "$.context.items[1].n",
                        "all": "$.context.items[*].n",
                        "none": "$.context.nothing[*]",
                        "size": "$.context.items.size()",
                        "last": "$.context.items[last].n",
                        "table": "$.constants.table",
                        "list": "$.constants.list[*].a",
                        "deep": [{"id": "$.context.order.id", "same": 1.5}, "$.task.name"],
                        "key as place": "$.context.zero[0]",
                        "place as key": "$.context.items.\"0\"",
                        "literal": "$$.context", "dollar": "$$", "price": "$5", "": null,
                        "a~/\"b": "$.context.\"a~/\\\"b\"",
                    }),
                ),
            ],
        ))
        .await;
    world.orchestrator().await;
    world.worker(|w| w.handler("echo", echo)).await;
    let id: Uuid = sqlx::query_scalar("select tasker.enqueue_task('test', 'flow', $1::jsonb)")
        .bind(
            r#"{"order": {"id": 7}, "big": 123456789012345678901234567890.10, "a~/\"b": "odd",
                "zero": {"0": 1}, "items": [{"n": 1}, {"n": 2}, {"n": [3]}]}"#,
        )
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    let result: String = {
        world.result(id).await;
        sqlx::query_scalar("select tasker.task_result($1)::text")
            .bind(id)
            .fetch_one(&world.db.pool)
            .await
            .unwrap()
    };
    assert!(result.contains("123456789012345678901234567890.10"), "as it was: {result}");
    let mut leaf = serde_json::from_str::<Value>(&result).unwrap()["leaf"].take();
    assert_eq!(leaf["whole"]["id"], 7);
    leaf.as_object_mut().unwrap().remove("whole");
    assert_eq!(
        leaf,
        json!({
            "id": 7, "no inputs": null, "absent": null, "element": 2, "all": [1, 2, [3]],
            "key as place": null, "place as key": null,
            "none": [], "size": 3, "last": [3], "table": "orders", "list": [2],
            "deep": [{"id": 7, "same": 1.5}, "flow"],
            "literal": "$.context", "dollar": "$",
            "price": "$5", "": null, "a~/\"b": "odd",
        })
    );
    assert_invariants(&world.db.pool).await;
}

#[rstest]
#[case::syntax(json!({"x": "$.context.order-id"}), "/x", "invalid_path", "in quotes")]
#[case::long(json!({"x": "$.a".repeat(1000)}), "/x", "invalid_path", "2,000")]
#[case::every_depth(json!({"x": "$.context.**"}), "/x", "unsupported_path", "every depth")]
#[case::filter(json!({"x": "$.context.a ? (@.b > 1)"}), "/x", "unsupported_path", "filter")]
#[case::calculated(json!({"x": "$.context.a + 1"}), "/x", "unsupported_path", "a path is")]
#[case::compared(json!({"x": "$.context.a == 1"}), "/x", "unsupported_path", "compares")]
#[case::from_the_end(json!({"x": "$.context.a[-1]"}), "/x", "unsupported_path", "[last]")]
#[case::by_a_path(json!({"x": "$.context.a[$.context.b]"}), "/x", "unsupported_path", "a path is")]
#[case::a_date(json!({"x": "$.context.a.datetime()"}), "/x", "unsupported_path", "a path is")]
#[case::everything(json!({"x": "$"}), "/x", "unknown_name", "$.parents.<step>")]
#[case::no_part(json!({"x": "$.context_id"}), "/x", "unknown_name", "$.parents.<step>")]
#[case::any_part(json!({"x": "$.*"}), "/x", "unknown_name", "$.parents.<step>")]
#[case::no_parent(json!({"x": ["$.parents.b.id"]}), "/x/0", "unknown_parent", "dependencies")]
#[case::no_step(json!({"a/b": {"~": "$.parents.z"}}), "/a~1b/~0", "unknown_parent", "\"z\"")]
#[case::no_constant(json!({"x": "$.constants.host"}), "/x", "unknown_constant", "constants")]
#[case::within(json!({"x": "$.constants.table.x"}), "/x", "unknown_constant", "constants")]
#[case::no_number(json!({"x": "$.constants.table.floor()"}), "/x", "unknown_constant", "at")]
#[case::no_field(json!({"x": "$.task.state"}), "/x", "unknown_name", "correlation_id")]
#[case::no_text(json!({"x": "$.task.name.first"}), "/x", "unknown_name", "correlation_id")]
#[case::no_list(json!({"x": "$.task[*].name"}), "/x", "unknown_name", "correlation_id")]
#[case::doubling(json!({"x": "$.context.a[0,0][0,0]"}), "/x", "unsupported_path", "one place")]
#[case::lists(json!({"x": "$.context[*][*][*].*[*]"}), "/x", "unsupported_path", "four")]
#[case::segments(json!({"x": format!("${}", ".a".repeat(51))}), "/x", "unsupported_path", "50")]
#[case::a_key(json!({"x": "$.context['a']"}), "/x", "invalid_path", "a key")]
#[case::a_price(json!({"x": "$.50 per item"}), "/x", "invalid_path", "one more $")]
#[case::no_object(json!(["$.context.x"]), "", "invalid_type", "an object")]
#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_its_place(
    #[case] value: Value,
    #[case] at: &str,
    #[case] code: &str,
    #[case] message: &str,
) {
    let db = TestDb::new().await;
    let template = with_inputs(flow(&[("a", &[]), ("b", &["a"])]), &[("a", value)]);
    let problems: Vec<(String, String, String)> =
        sqlx::query_as("select path, code, message from tasker.validate_template($1)")
            .bind(template)
            .fetch_all(&db.pool)
            .await
            .unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(
        (problems[0].0.as_str(), problems[0].1.as_str()),
        (&*format!("/steps/0/inputs{at}"), code)
    );
    assert!(problems[0].2.contains(message), "{}", problems[0].2);
}

#[tokio::test]
async fn inputs_are_bounded_by_their_form() {
    let db = TestDb::new().await;
    let mut deep = json!("$.context.a");
    for _ in 0..33 {
        deep = json!([deep]);
    }
    let many: Value = (0..201).map(|_| json!("$.context.a")).collect();
    let mut required = flow(&[("a", &[])]);
    required["steps"][0]["inputs_required"] = json!(["x", 3]);
    let mut cursors = growing_flow(&[
        ("a", "batchable", &[]),
        ("w", "batch_worker", &["a"]),
        ("z", "standard", &["w"]),
    ]);
    cursors["steps"][1]["inputs"] = json!({"x": "$.context.x"});
    let mut constants = flow(&[("a", &[])]);
    constants["constants"] = json!(["x"]);
    let long = json!("x".repeat(65_536));
    let mut large = flow(&[("a", &[])]);
    large["constants"] = json!({"x": long});
    let paths: Vec<Value> = (0..200).map(|_| json!("$.context.a")).collect();
    let names: Vec<String> = (0..51).map(|n| format!("s{n}")).collect();
    let steps: Vec<(&str, &[&str])> = names.iter().map(|name| (&**name, &[][..])).collect();
    let mut all = flow(&steps);
    for step in all["steps"].as_array_mut().unwrap() {
        step["inputs"] = json!({"x": paths});
    }
    let mut plain = flow(&[("a", &[])]);
    plain["steps"][0]["inputs"] = json!({"x": 1, "y": ["$.context.y"]});
    plain["steps"][0]["inputs_required"] = json!(["x", "y"]);
    let of_a = |value: Value| with_inputs(flow(&[("a", &[])]), &[("a", json!({"x": value}))]);
    for (template, expected) in [
        (of_a(long), "/steps/0/inputs too_large"),
        (large, "/constants too_large"),
        (all, "/steps too_large"),
        (
            plain,
            "/steps/0/inputs_required/0 unknown_input, /steps/0/inputs_required/1 \
                 unknown_input",
        ),
        (of_a(deep), "/steps/0/inputs too_large"),
        (of_a(many), "/steps/0/inputs too_large"),
        (
            required,
            "/steps/0/inputs_required/0 unknown_input, /steps/0/inputs_required/1 \
                    unknown_input",
        ),
        (cursors, "/steps/1/inputs invalid_value"),
        (constants, "/constants invalid_type"),
    ] {
        let found: String = sqlx::query_scalar(
            "select string_agg(path || ' ' || code, ', ') from tasker.validate_template($1)",
        )
        .bind(template)
        .fetch_one(&db.pool)
        .await
        .unwrap();
        assert_eq!(found, expected);
    }
}

/// Whether the steps with inputs are claimed from their queue or with the completion of their
/// parent.
#[rstest]
#[case::from_the_queue(false)]
#[case::at_once(true)]
#[tokio::test]
async fn what_cannot_be_made_fails_its_step_and_no_other(#[case] at_once: bool) {
    let e = Engine::new().await;
    let mut template = with_inputs(
        flow(&[
            ("a", &[]),
            ("absent", &["a"]),
            ("fine", &["a"]),
            ("large", &["a"]),
            ("text", &["a"]),
            ("two", &["a"]),
        ]),
        &[
            ("absent", json!({"x": "$.parents.a.gone"})),
            ("fine", json!({"x": "$.parents.a.null"})),
            ("large", json!({"x": "$.context", "y": "$.context", "z": ["$.context"]})),
            ("text", json!({"x": "$.parents.a.text.floor()"})),
            ("two", json!({"x": "$.context.list[last].n.size()"})),
        ],
    );
    for n in [1, 2] {
        template["steps"][n]["inputs_required"] = json!(["x"]);
    }
    e.apply(template).await;
    let list = json!([{"n": 1}, [{"n": 1}, {"n": 2}]]);
    let id = e.enqueue(json!({"list": list, "fill": "x".repeat(400_000)})).await;
    e.initialize().await;
    let root = pick(&e.claim(9).await, "a");
    let result = json!({"text": "no number", "null": null});
    if at_once {
        let outcome = json!([{"task_id": id, "step": "a", "claim_no": root.claim_no,
                              "outcome": {"type": "success", "result": result}}]);
        let answers: Vec<(String, String)> = sqlx::query_as(
            "select step, status from tasker.complete_steps($1, $2, 9, '{noop}') order by 1",
        )
        .bind(e.worker)
        .bind(outcome)
        .fetch_all(e.pool())
        .await
        .unwrap();
        let answers: Vec<(&str, &str)> =
            answers.iter().map(|(step, status)| (&**step, &**status)).collect();
        assert_eq!(answers, [("a", "accepted"), ("fine", "claimed")]);
    } else {
        e.succeed(&root, result).await;
        e.process().await;
        let claims = e.claim(9).await;
        assert_eq!(claims.iter().map(|c| c.step.as_str()).collect::<Vec<_>>(), ["fine"]);
    }
    assert_invariants(e.pool()).await;
    assert_eq!(e.depth("worker_test_queue").await, 1, "only of what was claimed");
    e.process().await;
    for (step, code, text) in [
        ("absent", "missing_input", "\"x\" is required, and there is nothing at $.parents.a.gone"),
        ("large", "input_too_large", "1048576"),
        ("text", "invalid_input", "$.parents.a.text.floor()"),
        ("two", "invalid_input", "2 values"),
    ] {
        assert_failed(&e, id, step, code, text).await;
        let path = ["enqueued", "in_progress", "enqueued_for_orchestration", "error"];
        assert_eq!(e.step_path(id, step).await, path, "each hop is in the audit");
    }
    assert_eq!(inputs(&e, id, "fine").await, Some(json!({"x": null})));
    assert_eq!(e.task_state(id).await, "steps_in_process");
    let (state, attempt): (String, i32) = sqlx::query_as(
        "select state::text, attempt from tasker.steps where task_id = $1 and name = 'fine'",
    )
    .bind(id)
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((state.as_str(), attempt), ("in_progress", 1));
    assert_invariants(e.pool()).await;

    // A retry judges again.
    sqlx::query("select tasker.retry_step($1, 'absent', 'again', 'test')")
        .bind(id)
        .execute(e.pool())
        .await
        .unwrap();
    e.enqueue_ready().await;
    assert!(e.claim(9).await.is_empty());
    e.process().await;
    assert_failed(&e, id, "absent", "missing_input", "required").await;
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_lost_claim_gets_the_same_inputs_again() {
    let e = Engine::new().await;
    e.apply(with_inputs(flow(&[("a", &[])]), &[("a", json!({"n": "$.context.n"}))])).await;
    let id = e.enqueue(json!({"n": 1})).await;
    e.initialize().await;
    for _ in 0..2 {
        assert_eq!(e.claim(9).await.len(), 1);
        assert_eq!(inputs(&e, id, "a").await, Some(json!({"n": 1})));
        e.expire_leases().await;
    }
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_parent_that_does_not_exist_gives_nothing_and_a_batch_its_summary() {
    let e = Engine::new().await;
    let steps: &[(&str, &str, &[&str])] = &[
        ("choose", "decision", &[]),
        ("left", "standard", &["choose"]),
        ("right", "batchable", &["choose"]),
        ("part", "batch_worker", &["right"]),
        ("meet", "deferred", &["left", "part"]),
    ];
    let paths = json!({"left": "$.parents.left", "sum": "$.parents.part.results[*]"});
    e.apply(with_inputs(growing_flow(steps), &[("meet", paths)])).await;
    let id = e.start().await;
    let choose = pick(&e.claim(9).await, "choose");
    e.decide(&choose, &["right"]).await;
    e.process().await;
    let right = pick(&e.claim(9).await, "right");
    e.split(&right, json!([10, 20])).await;
    e.process().await;
    for claim in e.claim(9).await {
        let cursor = inputs(&e, id, &claim.step).await.unwrap();
        e.succeed(&claim, cursor).await;
    }
    e.process().await;
    pick(&e.claim(9).await, "meet");
    assert_eq!(inputs(&e, id, "meet").await, Some(json!({"left": null, "sum": [10, 20]})));
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn large_inputs_are_claimed_in_parts() {
    let e = Engine::new().await;
    let paths = json!({"a": "$.context", "b": "$.context", "c": "$.context"});
    e.apply(with_inputs(flow(&[("a", &[])]), &[("a", paths)])).await;
    sqlx::query("update tasker.settings set max_claim_bytes = 65536")
        .execute(e.pool())
        .await
        .unwrap();
    for _ in 0..5 {
        e.enqueue(json!({"d": "x".repeat(10_000)})).await;
    }
    e.initialize().await;
    let mut claimed = 0;
    while claimed < 5 {
        let (steps, bytes): (i64, i64) = sqlx::query_as(
            "select count(*), \
                    sum(octet_length(context::text) + octet_length(inputs::text))::bigint \
               from tasker.claim_steps('test', $1, 9)",
        )
        .bind(e.worker)
        .fetch_one(e.pool())
        .await
        .unwrap();
        assert!(steps > 0 && bytes <= 65_536, "{steps} steps of {bytes} bytes");
        claimed += steps;
    }
}

#[tokio::test]
async fn the_time_for_values_grows_with_their_number_alone() {
    let e = Engine::new().await;
    let paths = |n: usize| Value::from(vec![json!("$.context.list"); n]);
    let steps = with_inputs(
        flow(&[("few", &[]), ("many", &[])]),
        &[("few", json!({"x": paths(20)})), ("many", json!({"x": paths(200)}))],
    );
    e.apply(steps).await;
    let list: Vec<i32> = vec![1; 1_700];
    let id = e.enqueue(json!({"list": list})).await;
    e.initialize().await;
    let mut best = [Duration::MAX; 2];
    for _ in 0..4 {
        for (step, best) in ["few", "many"].iter().zip(&mut best) {
            let began = Instant::now();
            sqlx::query(
                "select m.* from tasker.template_steps p, \
                        tasker.mapped_value($1, p.inputs, 1048576) m where p.name = $2",
            )
            .bind(id)
            .bind(step)
            .execute(e.pool())
            .await
            .unwrap();
            *best = began.elapsed().min(*best);
        }
    }
    // Ten times as many take ten times as long; writing all of it for each took a hundred times.
    assert!(best[1] < best[0] * 35, "{best:?}");

    e.claim(9).await;
    // 200 times 5,100 bytes are just within the limit.
    let made = inputs(&e, id, "many").await.unwrap();
    assert_eq!(made["x"].as_array().unwrap().len(), 200);
    assert_eq!(made["x"][199], json!(list));
}

#[tokio::test]
async fn summaries_of_batches_count_among_what_is_looked_into() {
    let e = Engine::new().await;
    let mut steps: Vec<(&str, &str, &[&str])> = Vec::new();
    for (batchable, worker) in [(["b1"], ["w1"]), (["b2"], ["w2"]), (["b3"], ["w3"])] {
        steps.push((batchable[0], "batchable", &[]));
        steps.push((worker[0], "batch_worker", Box::leak(Box::new(batchable))));
    }
    steps.push(("all", "deferred", &["w1", "w2", "w3"]));
    e.apply(with_inputs(growing_flow(&steps), &[("all", json!({"n": "$.parents.*"}))])).await;
    sqlx::query("update tasker.settings set max_claim_bytes = 65536")
        .execute(e.pool())
        .await
        .unwrap();
    let id = e.start().await;
    for claim in e.claim(9).await {
        e.split(&claim, json!([1])).await;
    }
    e.process().await;
    for claim in e.claim(9).await {
        e.succeed(&claim, json!("x".repeat(30_000))).await;
    }
    e.process().await;
    assert!(e.claim(9).await.is_empty());
    e.process().await;
    assert_failed(&e, id, "all", "input_too_large", "90").await;
}

#[tokio::test]
async fn steps_that_fail_at_their_claim_do_not_hide_those_behind_them() {
    let e = Engine::new().await;
    let mut template = with_inputs(flow(&[("a", &[])]), &[("a", json!({"x": "$.context.x"}))]);
    template["steps"][0]["inputs_required"] = json!(["x"]);
    e.apply(template).await;
    for _ in 0..30 {
        e.enqueue(json!({})).await;
    }
    e.enqueue(json!({"x": 1})).await;
    e.initialize().await;
    let mut listener = PgListener::connect_with(e.pool()).await.unwrap();
    listener.listen("tasker_worker_test_queue").await.unwrap();
    let mut claims = Vec::new();
    for _ in 0..9 {
        claims = e.claim(1).await;
        if !claims.is_empty() {
            break;
        }
        // An empty answer means an empty queue, unless the workers are woken.
        timeout(SOON, listener.recv()).await.expect("woken").unwrap();
    }
    assert_eq!(claims.len(), 1);
}
