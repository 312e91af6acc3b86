//! Conditions: which steps exist by what the data says.

use crate::dynamic::{complete, only, steps_there};
use pgtasker_tests::{
    engine::{Engine, growing_flow, pick},
    invariants::assert_invariants,
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

/// The template of these steps, with more keys for some of them.
pub(crate) fn with(steps: &[(&str, &str, &[&str])], keys: &[(&str, Value)]) -> Value {
    let mut template = growing_flow(steps);
    template["constants"] = json!({"limit": 10});
    for step in template["steps"].as_array_mut().unwrap() {
        for (name, more) in keys {
            if step["name"] == *name {
                step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            }
        }
    }
    template
}

/// A task of it, with this context.
pub(crate) async fn task(template: Value, context: Value) -> (Engine, Uuid) {
    let e = Engine::new().await;
    e.apply(template).await;
    let id = e.enqueue(context).await;
    e.initialize().await;
    (e, id)
}

/// What the graph shows of it: its state, or its presence where it has no row.
pub(crate) async fn seen(e: &Engine, id: Uuid, step: &str) -> String {
    sqlx::query_scalar(
        "select coalesce(state::text, presence) from tasker.step_dag where task_id = $1 and step \
         = $2",
    )
    .bind(id)
    .bind(step)
    .fetch_one(e.pool())
    .await
    .unwrap()
}

async fn verdict(e: &Engine, id: Uuid, step: &str) -> (Option<bool>, Option<Value>) {
    sqlx::query_as(
        "select holds, reason from tasker.step_verdicts where task_id = $1 and step = $2",
    )
    .bind(id)
    .bind(step)
    .fetch_one(e.pool())
    .await
    .unwrap()
}

/// Why there is no such step, as an operator is told.
async fn why(e: &Engine, id: Uuid, step: &str) -> String {
    let shown = sqlx::query("select tasker.show_step($1, $2)");
    let error = shown.bind(id).bind(step).execute(e.pool()).await.unwrap_err();
    error.as_database_error().unwrap().message().to_owned()
}

/// The error of a step that has failed without an attempt.
pub(crate) async fn message(e: &Engine, id: Uuid, step: &str) -> String {
    let (state, attempt, error): (String, i32, Value) = sqlx::query_as(
        "select state::text, attempt, error from tasker.steps where task_id = $1 and name = $2",
    )
    .bind(id)
    .bind(step)
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((state.as_str(), attempt), ("error", 0), "{error}");
    assert_eq!(error["attempt"], 0, "{error}");
    format!("{}: {}", error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
}

const PAIR: &[(&str, &str, &[&str])] = &[("a", "standard", &[]), ("b", "standard", &["a"])];

/// A condition, and whether it holds; else the end of its error.
const CONDITIONS: &[(&str, &str)] = &[
    ("$.context.n >= 5", "yes"),
    ("$.context.n < 5", "no"),
    ("$.context.n == 5.0", "yes"),
    ("$.context.long == 123456789012345678901234567890.5", "yes"),
    ("$.context.s == \"ab\"", "yes"),
    ("$.context.s > \"aa\" && $.task.created_at > \"2020-01-01\"", "yes"),
    ("$.context.n == 1 || $.context.s starts with \"a\"", "yes"),
    ("!($.context.n == 5)", "no"),
    ("$.context.none != 1", "no"),
    ("!exists($.context.none) || $.context.none != 1", "yes"),
    ("exists($.context.null) && $.context.null == null", "yes"),
    ("$.context.list[*] > 2", "yes"),
    ("$.context.list == 7", "no"),
    ("$.context.list.size() == 3", "yes"),
    ("$.context.list[last] == 3", "yes"),
    ("exists($.context.lines[*] ? (@.qty > 1 && @.sku == \"x\"))", "yes"),
    ("$.context.lines[*] ? (@.qty > 5).sku == \"x\"", "no"),
    ("exists($.context.lines[*] ? (@.qty < @.most))", "yes"),
    ("$.context.s like_regex \"^A\" flag \"i\"", "yes"),
    ("$.context.list.type() == \"array\"", "yes"),
    ("$.context.digits.double() > 4", "yes"),
    ("$.context.n * 2 + 1 == 11", "yes"),
    ("$.context.n < $.parents.a.result", "yes"),
    ("$.parents.a.result == 6", "yes"),
    ("$.parents.a.result <= $.constants.limit", "yes"),
    ("$.task.name == \"flow\" && $.task.namespace == \"test\"", "yes"),
    ("($.context.s > 1) is unknown", "yes"),
    ("true", "yes"),
    ("$.context.\"order-id\" == 1", "yes"),
    ("$.context.s > 1", "$.context.s is a string"),
    ("!($.context.s > 1)", "$.context.s is a string"),
    ("$.context.lines[0] > 1", "$.context.lines[0] is an object"),
    ("1 / $.context.zero > 1", "$.context.zero is a number"),
    ("$.context.s.double() > 1", "$.context.s is a string"),
];

#[tokio::test]
async fn a_condition_is_judged_by_what_is_there() {
    let context = r#"{
        "n": 5, "s": "ab", "null": null, "list": [1, 2, 3], "zero": 0, "digits": "4.5",
        "lines": [{"sku": "x", "qty": 2, "most": 3}, {"sku": "y", "qty": 9}], "order-id": 1,
        "long": 123456789012345678901234567890.5
    }"#;
    let e = Engine::new().await;
    let mut ids = Vec::new();
    for (version, (condition, _)) in CONDITIONS.iter().enumerate() {
        let mut template = with(PAIR, &[("b", json!({"when": condition}))]);
        template["version"] = json!(version.to_string());
        e.apply(template).await;
        let id: Uuid = sqlx::query_scalar("select tasker.enqueue_task('test', 'flow', $1::jsonb)")
            .bind(context)
            .fetch_one(e.pool())
            .await
            .unwrap();
        ids.push(id);
    }
    e.initialize().await;
    let claims = e.claim(100).await;
    assert_eq!(claims.len(), CONDITIONS.len());
    for claim in &claims {
        assert_eq!(seen(&e, claim.task_id, "b").await, "undecided");
        assert_eq!(e.succeed(claim, json!({"result": 6})).await, "accepted");
    }
    // One batch; then what could not be judged.
    e.process().await;
    e.process().await;
    for (id, (condition, expected)) in ids.into_iter().zip(CONDITIONS) {
        let holds = verdict(&e, id, "b").await.0;
        match *expected {
            "yes" => {
                assert_eq!(holds, Some(true), "{condition}");
                assert_eq!(seen(&e, id, "b").await, "enqueued", "{condition}");
            }
            "no" => {
                assert_eq!(holds, Some(false), "{condition}");
                assert_eq!(seen(&e, id, "b").await, "not_chosen", "{condition}");
                assert_eq!(e.task_state(id).await, "complete");
            }
            types => {
                assert_eq!(holds, None, "{condition}");
                let message = message(&e, id, "b").await;
                assert!(message.starts_with("invalid_condition: its condition "), "{message}");
                assert!(message.contains(condition) && message.ends_with(types), "{message}");
                assert_eq!(e.task_state(id).await, "blocked_by_failures");
            }
        }
    }
    assert_invariants(e.pool()).await;
}

const SISTERS: &[(&str, &str, &[&str])] = &[
    ("a", "standard", &[]),
    ("large", "standard", &["a"]),
    ("small", "standard", &["a"]),
    ("else", "standard", &["a"]),
    ("after", "standard", &["else"]),
    ("end", "deferred", &["large", "small", "after"]),
];

#[rstest]
#[case(json!(50), &["a complete", "end pending", "large enqueued"])]
#[case(json!(1), &["a complete", "end pending", "small enqueued"])]
#[case(json!(5), &["a complete", "after pending", "else enqueued", "end pending"])]
#[case(json!("x"), &["a complete", "end pending", "large error", "small error"])]
#[tokio::test]
async fn otherwise_is_there_where_no_sister_is(#[case] n: Value, #[case] expected: &[&str]) {
    let template = with(
        SISTERS,
        &[
            ("large", json!({"when": "$.context.n > 10"})),
            ("small", json!({"when": "$.context.n < 2"})),
            ("else", json!({"otherwise": true})),
        ],
    );
    let (e, id) = task(template, json!({"n": n})).await;
    let a = only(&e, "a").await;
    assert_eq!(e.succeed(&a, json!(1)).await, "accepted");
    e.process().await;
    e.process().await;
    assert_eq!(steps_there(e.pool(), id).await, expected);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn otherwise_is_absent_where_its_sisters_are() {
    let template = with(
        &[
            ("route", "decision", &[]),
            ("when", "standard", &["route"]),
            ("else", "standard", &["route"]),
        ],
        &[("when", json!({"when": "$.context.n > 10"})), ("else", json!({"otherwise": true}))],
    );
    let (e, id) = task(template, json!({"n": 1})).await;
    let route = only(&e, "route").await;
    // Its sister was not chosen, and so was not judged.
    assert_eq!(e.decide(&route, &["else"]).await, "accepted");
    e.process().await;
    assert_eq!(seen(&e, id, "else").await, "not_chosen");
    assert!(why(&e, id, "else").await.ends_with(": it exists where none of these does: when"));
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn when_false_complete_lets_what_follows_run_in_the_same_commit() {
    let left_out = json!({"when": "$.context.go == true", "when_false": "complete"});
    let template = with(
        &[
            ("a", "standard", &[]),
            ("b", "standard", &["a"]),
            ("c", "standard", &["b"]),
            ("d", "standard", &["c"]),
            ("e", "standard", &["c"]),
        ],
        &[
            ("b", left_out.clone()),
            // It sees the null of the one before.
            ("c", json!({"when": "$.parents.b == null && 1 == 2", "when_false": "complete"})),
            ("d", json!({"when": "$.parents.c == null", "inputs": {"c": "$.parents.c"}})),
            ("e", left_out),
        ],
    );
    let (e, id) = task(template, json!({})).await;
    let a = only(&e, "a").await;
    assert_eq!(e.succeed(&a, json!(1)).await, "accepted");
    e.process().await;
    let there = ["a complete", "b complete", "c complete", "d enqueued", "e complete"];
    assert_eq!(steps_there(e.pool(), id).await, there);
    assert_eq!(e.step_path(id, "b").await, ["complete"]);
    let d = only(&e, "d").await;
    complete(&e, &d).await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(e.text("select tasker.task_result($1)::text", id).await, r#"{"d": "d", "e": null}"#);
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_root_is_judged_when_its_task_starts() {
    let roots: &[(&str, &str, &[&str])] = &[("x", "standard", &[]), ("y", "standard", &["x"])];
    let condition = ("x", json!({"when": "$.context.go == true"}));
    let (e, id) = task(with(roots, std::slice::from_ref(&condition)), json!({})).await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(e.graph(id).await, ["x not_chosen", "y not_chosen"]);
    assert_eq!(verdict(&e, id, "x").await.1, Some(json!("$.context.go is not there")));
    let why = why(&e, id, "x").await;
    let said = "its condition is false: $.context.go == true ($.context.go is not there)";
    assert!(why.ends_with(said), "{why}");

    let id = e.enqueue(json!({"go": true})).await;
    e.initialize().await;
    assert_eq!(e.task_state(id).await, "steps_in_process");
    let x = only(&e, "x").await;
    complete(&e, &x).await;
    let y = only(&e, "y").await;
    complete(&e, &y).await;
    assert_eq!(e.task_state(id).await, "complete");

    // Neither true nor false.
    let id = e.enqueue(json!({"go": {}})).await;
    e.initialize().await;
    assert_eq!(e.task_state(id).await, "steps_in_process");
    e.process().await;
    assert_eq!(e.task_state(id).await, "blocked_by_failures");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_root_that_exists_waits_for_the_start_of_its_task_and_for_its_namespace() {
    let e = Engine::new().await;
    e.apply(with(PAIR, &[("a", json!({"when": "$.context.go == true"}))])).await;
    let later = "select tasker.enqueue_task('test', 'flow', '{\"go\": true}', p_run_at => \
                 tasker.clock() + interval '1 h')";
    let id: Uuid = sqlx::query_scalar(later).fetch_one(e.pool()).await.unwrap();
    e.initialize().await;
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert!(e.claim(9).await.is_empty());
    assert_eq!(e.enqueue_ready().await, 0);
    assert_invariants(e.pool()).await;
    e.clock(3601).await;
    assert_eq!(e.enqueue_ready().await, 1);
    only(&e, "a").await;

    sqlx::query("select tasker.pause_namespace('test')").execute(e.pool()).await.unwrap();
    let id = e.enqueue(json!({"go": true})).await;
    e.initialize().await;
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert!(e.claim(9).await.is_empty());
    assert_invariants(e.pool()).await;
    sqlx::query("select tasker.resume_namespace('test')").execute(e.pool()).await.unwrap();
    while e.enqueue_ready().await > 0 {}
    only(&e, "a").await;
}

#[rstest]
#[case::by_a_worker(true)]
#[case::by_an_orchestrator(false)]
#[tokio::test]
async fn what_cannot_be_judged_fails_alone(#[case] fast: bool) {
    let e = Engine::new().await;
    e.apply(with(PAIR, &[("b", json!({"when": "$.context.n > 1"}))])).await;
    let mut ids = Vec::new();
    for n in [json!(2), json!("x"), json!(0), json!(3)] {
        ids.push(e.enqueue(json!({"n": n})).await);
    }
    e.initialize().await;
    let claims = e.claim(9).await;
    let results: Vec<Value> = claims
        .iter()
        .map(|c| {
            json!({"task_id": c.task_id, "step": c.step, "claim_no": c.claim_no,
                   "outcome": {"type": "success", "result": 1}})
        })
        .collect();
    let call = if fast {
        "select status from tasker.complete_steps($1, $2, 9, '{noop}')"
    } else {
        "select status from tasker.submit_results($1, $2)"
    };
    let answers: Vec<String> = sqlx::query_scalar(call)
        .bind(e.worker)
        .bind(json!(results))
        .fetch_all(e.pool())
        .await
        .unwrap();
    assert_eq!(answers, ["accepted"; 4]);
    e.process().await;
    e.process().await;
    let mut states = Vec::new();
    for id in &ids {
        states.push(e.task_state(*id).await);
    }
    assert_eq!(states, ["steps_in_process", "blocked_by_failures", "complete", "steps_in_process"]);
    assert_eq!(
        message(&e, ids[1], "b").await,
        "invalid_condition: its condition $.context.n > 1 is neither true nor false: $.context.n \
         is a string"
    );
    let reason = "select reason from tasker.dead_letters where task_id = $1";
    assert_eq!(e.text(reason, ids[1]).await, "permanent_failure");
    assert_invariants(e.pool()).await;

    // A retry judges again; a resolved step lets go on what depends on it.
    let retried: bool = sqlx::query_scalar("select tasker.retry_step($1, 'b')")
        .bind(ids[1])
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert!(retried);
    assert_eq!(e.step_state(ids[1], "b").await, "enqueued_for_orchestration");
    e.process().await;
    assert_eq!(e.task_state(ids[1]).await, "blocked_by_failures");
    sqlx::query("select tasker.resolve_step($1, 'b', '7')")
        .bind(ids[1])
        .execute(e.pool())
        .await
        .unwrap();
    assert_eq!(e.task_state(ids[1]).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_verdict_is_given_once_whatever_operators_do() {
    let mut template = with(
        &[("a", "standard", &[]), ("b", "standard", &["a"]), ("c", "standard", &["b"])],
        &[("b", json!({"when": "$.context.n > 1"}))],
    );
    template["on_failure"] = json!("fail");
    let (e, id) = task(template, json!({"n": "x"})).await;
    let a = only(&e, "a").await;
    complete(&e, &a).await;
    e.process().await;
    assert_eq!(e.task_state(id).await, "error");
    assert_eq!(verdict(&e, id, "b").await.0, None);
    // It is judged again, and could be by now.
    sqlx::query("update tasker.tasks set context = '{\"n\": 2}' where task_id = $1")
        .bind(id)
        .execute(e.pool())
        .await
        .unwrap();
    sqlx::query("select tasker.reset_task($1)").bind(id).execute(e.pool()).await.unwrap();
    assert_eq!(verdict(&e, id, "b").await, (Some(true), None));
    assert_eq!(e.enqueue_ready().await, 1);
    let b = only(&e, "b").await;
    assert_eq!(
        e.submit(&b, json!({"type": "failure", "message": "no", "retryable": false})).await,
        "accepted"
    );
    e.process().await;
    // What has been judged is not judged again.
    sqlx::query("update tasker.tasks set context = '{\"n\": 0}' where task_id = $1")
        .bind(id)
        .execute(e.pool())
        .await
        .unwrap();
    sqlx::query("select tasker.reset_task($1)").bind(id).execute(e.pool()).await.unwrap();
    assert_eq!(verdict(&e, id, "b").await, (Some(true), None));
    assert_eq!(e.enqueue_ready().await, 1);
    only(&e, "b").await;
    assert_invariants(e.pool()).await;
}

#[rstest]
#[case::goes_on("continue_on_failure", "enqueued")]
#[case::stops("fail_fast", "undecided")]
#[tokio::test]
async fn a_condition_looks_at_a_batch_once_it_has_ended(#[case] strategy: &str, #[case] end: &str) {
    let template = with(
        &[
            ("cut", "batchable", &[]),
            ("load", "batch_worker", &["cut"]),
            ("b", "standard", &["load"]),
        ],
        &[
            ("load", json!({"failure_strategy": strategy})),
            ("b", json!({"when": "$.parents.load.failed > 0 && $.parents.load.instances == 3"})),
        ],
    );
    let (e, id) = task(template, json!({})).await;
    let cut = only(&e, "cut").await;
    assert_eq!(e.split(&cut, json!([1, 2, 3])).await, "accepted");
    e.process().await;
    let claims = e.claim(9).await;
    for step in ["load_003", "load_001"] {
        complete(&e, &pick(&claims, step)).await;
        assert_eq!(seen(&e, id, "b").await, "undecided");
    }
    let failure = json!({"type": "failure", "message": "no", "retryable": false});
    assert_eq!(e.submit(&pick(&claims, "load_002"), failure).await, "accepted");
    e.process().await;
    assert_eq!(seen(&e, id, "b").await, end);
    assert_invariants(e.pool()).await;

    // A batch without steps has ended as soon as it is there.
    let id = e.enqueue(json!({})).await;
    e.initialize().await;
    let cut = pick(&e.claim(9).await, "cut");
    assert_eq!(e.split(&cut, json!([])).await, "accepted");
    e.process().await;
    assert_eq!(seen(&e, id, "b").await, "not_chosen");
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn the_result_that_has_just_arrived_counts_too() {
    let keys = json!({"when": "exists($.parents.a.l[*] ? (@ == 1))"});
    let (e, id) = task(with(PAIR, &[("b", keys)]), json!({})).await;
    let a = only(&e, "a").await;
    assert_eq!(e.succeed(&a, json!({"l": vec![0; 40_000]})).await, "accepted");
    e.process().await;
    e.process().await;
    let message = message(&e, id, "b").await;
    assert!(message.starts_with("condition_too_large: "), "{message}");
    assert_invariants(e.pool()).await;
}
