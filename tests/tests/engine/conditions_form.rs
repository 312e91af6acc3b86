//! What a template may say about when a step exists, and how long judging it can take.

use crate::conditions::with;
use pgtasker_tests::engine::Engine;
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;

const STEPS: &[(&str, &str, &[&str])] =
    &[("a", "standard", &[]), ("b", "standard", &["a"]), ("other", "standard", &[])];

async fn problems(e: &Engine, template: &Value) -> Vec<(String, String, String)> {
    sqlx::query_as("select path, code, message from tasker.validate_template($1)")
        .bind(template)
        .fetch_all(e.pool())
        .await
        .unwrap()
}

/// Each of these conditions, with the code and a part of the message that it gets.
async fn assert_refused(cases: impl IntoIterator<Item = (Value, &str, &str)>) {
    let e = Engine::new().await;
    for (condition, code, text) in cases {
        let problems = problems(&e, &with(STEPS, &[("b", json!({"when": condition}))])).await;
        assert_eq!(problems.len(), 1, "{condition}: {problems:?}");
        let (path, given, message) = &problems[0];
        assert_eq!((path.as_str(), given.as_str()), ("/steps/1/when", code), "{message}");
        assert!(message.contains(text), "{condition}: {message}");
    }
}

#[tokio::test]
async fn what_is_no_condition_is_refused_with_its_place() {
    assert_refused([
        (json!(true), "invalid_type", "must be a condition in quotes"),
        (json!("$.context.a = 1"), "invalid_condition", "equality is =="),
        (json!("$.context.a == 1 and $.context.b == 1"), "invalid_condition", "write && and ||"),
        (json!("$.context.a == 1 OR true"), "invalid_condition", "write && and ||"),
        (json!("$.context.a == 'x'"), "invalid_condition", "double quotes"),
        (json!("$.context.a in [\"x\"]"), "invalid_condition", "== \"x\" ||"),
        (json!("$.context.a[?(@.b > 1)].c == 2"), "invalid_condition", "behind the list"),
        (json!("$.context.a[0:2] == 2"), "invalid_condition", "[0 to 1]"),
        (json!("$.context.a.length() > 2"), "invalid_condition", ".size()"),
        (json!("$.context.order-id == 2 "), "invalid_condition", ".\"order-id\""),
        (json!("{{ context.a }} == 2"), "invalid_condition", "no templates"),
        (json!("context.a == 2"), "invalid_condition", "$.context.a == true"),
        (json!("$.context.a"), "invalid_condition", "== true, or ask for it by exists"),
        (json!("null"), "invalid_condition", "is a value and no condition"),
        (json!("$.context.a + 1"), "invalid_condition", "is a value and no condition"),
        (json!(format!("$.context.a == \"{}\"", "x".repeat(2000))), "invalid_condition", "2,000"),
    ])
    .await;
}

#[tokio::test]
async fn what_could_take_long_or_names_what_is_not_there_is_refused() {
    assert_refused([
        (json!("$.context.**.a == 1"), "unsupported_condition", "every depth"),
        (json!("strict $.context.a == 1"), "unsupported_condition", "leave out strict"),
        (json!("$a == 1"), "unsupported_condition", "no variables"),
        (json!("$.context.keyvalue().key == \"a\""), "unsupported_condition", "compares paths"),
        (json!("$.context.a[$.context.b] == 1"), "unsupported_condition", "compares paths"),
        (json!("$.context.a like_regex \"a(?=b)\""), "unsupported_condition", "begin with (?"),
        (json!("$.context.a like_regex \"(a{1,40}){30}\""), "unsupported_condition", "no group"),
        (json!("$.context.a like_regex \"a{60}b{60}\""), "unsupported_condition", "add up to 100"),
        (json!("$.context.a like_regex \"(a)\\\\1\""), "unsupported_condition", "back references"),
        (json!("$.context.a == 1e1000"), "unsupported_condition", "30 digits"),
        (json!("$.context.a == 1e131000"), "invalid_condition", "many digits"),
        (json!("$.context.a[*] ? (@ * 2 > 1).b == 2"), "unsupported_condition", "not within"),
        (json!("$.context.a[*] ? (1 == 1).b == 2"), "unsupported_condition", "a part of it"),
        (json!("\"ab\" like_regex \"a\""), "unsupported_condition", "a path"),
        (
            json!(format!("$.context.a like_regex \"{}\"", "(a|b)*".repeat(7))),
            "unsupported_condition",
            "six groups",
        ),
        (json!("exists($.context.a ? (@.b ? (@ > 1) > 2))"), "unsupported_condition", "filter may"),
        (json!("exists($.context.a ? (@.b == $.context.c))"), "unsupported_condition", "only"),
        (json!("$.context.a == $.constants.none"), "unknown_constant", "at \"$.constants.none"),
        (
            json!("$.context.a.datetime() > \"2020-01-01\".datetime()"),
            "unsupported_condition",
            "compares paths",
        ),
        (
            json!("$.context.a like_regex \"a{99999999999}\" flag \"q\""),
            "unsupported_condition",
            "100 at most",
        ),
        (
            json!("$.context.a like_regex \"(?b)x\\\\{255\\\\}\""),
            "unsupported_condition",
            "begin with (?",
        ),
        (
            json!(format!("$.a like_regex \"{}\"", "x".repeat(201))),
            "unsupported_condition",
            "200 c",
        ),
        (json!("$.context.a like_regex \"(a\""), "invalid_condition", "regular expression"),
        (json!("$.parents.other.x == 1"), "unknown_parent", "add it to its dependencies"),
        (json!("$.task.id == \"x\""), "unknown_name", "correlation_id"),
        (json!("$.steps.a == 1"), "unknown_name", "$.parents.<step>"),
        (json!("$ == 1"), "unknown_name", "begins with"),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let e = Engine::new().await;
    let steps: &[(&str, &str, &[&str])] = &[
        ("a", "batchable", &[]),
        ("b", "standard", &["a"]),
        ("w", "batch_worker", &["a"]),
        ("d", "decision", &["b"]),
        ("z", "standard", &["d"]),
    ];
    let cases = [
        ("b", json!({"otherwise": true}), "otherwise", "needs another step"),
        ("b", json!({"otherwise": false}), "otherwise", "true, or left out"),
        ("b", json!({"otherwise": true, "when": "true"}), "otherwise", "either when"),
        ("b", json!({"when": "true", "when_false": "skip"}), "when_false", "complete"),
        ("b", json!({"when_false": "complete"}), "when_false", "belongs to"),
        ("d", json!({"when": "1 == 1", "when_false": "complete"}), "when_false", "a d"),
        ("d", json!({"may_skip": true}), "may_skip", "a decision cannot skip"),
        ("b", json!({"may_skip": "yes"}), "may_skip", "true or false"),
        ("w", json!({"when": "true"}), "when", "give the condition to the batchable"),
    ];
    for (step, keys, key, text) in cases {
        let problems = problems(&e, &with(steps, &[(step, keys)])).await;
        let place = steps.iter().position(|(name, ..)| *name == step).unwrap();
        let found = problems.iter().any(|(path, code, message)| {
            *path == format!("/steps/{place}/{key}")
                && code == "invalid_value"
                && message.contains(text)
        });
        assert!(found, "{problems:?}");
    }
}

#[tokio::test]
async fn two_with_otherwise_are_refused() {
    let steps: &[(&str, &str, &[&str])] = &[
        ("a", "standard", &[]),
        ("b", "standard", &["a"]),
        ("c", "standard", &["a"]),
        ("d", "standard", &["a"]),
    ];
    let other = json!({"otherwise": true});
    let keys = [("b", json!({"when": "true"})), ("c", other.clone()), ("d", other)];
    let e = Engine::new().await;
    let problems = problems(&e, &with(steps, &keys)).await;
    let paths: Vec<_> = problems.iter().map(|problem| problem.0.as_str()).collect();
    assert_eq!(paths, ["/steps/2/otherwise", "/steps/3/otherwise"]);
    assert!(problems[0].2.contains("c, d"), "{problems:?}");
}

async fn warnings(template: &Value) -> Vec<(String, String, String)> {
    let e = Engine::new().await;
    sqlx::query_as("select path, code, message from tasker.template_warnings($1)")
        .bind(template)
        .fetch_all(e.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_probably_means_something_else_gets_a_warning() {
    let ne = with(STEPS, &[("b", json!({"when": "$.context.a != 1 && $.parents.a.x == 2"}))]);
    let found = warnings(&ne).await;
    assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("/steps/1/when", "missing_is_false"));
    assert!(found[0].2.contains("!exists($.context.a) ||"), "{found:?}");
    let said = "!exists($.context.a) || $.context.a != 1";
    assert!(warnings(&with(STEPS, &[("b", json!({"when": said}))])).await.is_empty());

    // Never there: of two that are there by turns it needs both.
    let steps: &[(&str, &str, &[&str])] = &[
        ("x", "standard", &[]),
        ("y", "standard", &[]),
        ("both", "standard", &["x", "y"]),
        ("either", "deferred", &["x", "y"]),
    ];
    let keys = [("x", json!({"when": "$.context.n > 1"})), ("y", json!({"otherwise": true}))];
    let found = warnings(&with(steps, &keys)).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].0.as_str(), found[0].1.as_str()),
        ("/steps/2/dependencies", "partial_parents")
    );

    // So does one below a step that may be skipped, and one that is not.
    let keys = [("x", json!({"may_skip": true}))];
    let steps: &[(&str, &str, &[&str])] = &[
        ("x", "standard", &[]),
        ("y", "standard", &["x"]),
        ("both", "standard", &["x", "y"]),
        ("z", "standard", &["y", "other"]),
        ("other", "standard", &[]),
    ];
    let found = warnings(&with(steps, &keys)).await;
    let paths: Vec<_> = found.iter().map(|warning| warning.0.as_str()).collect();
    assert_eq!(paths, ["/steps/3/dependencies"], "{found:?}");
}

#[tokio::test]
async fn what_follows_different_ends_of_a_step_gets_a_warning() {
    let failed = |step: &str| json!({"step": step, "on": "failed"});
    let steps: &[(&str, &str, &[&str])] = &[
        ("a", "standard", &[]),
        ("b", "standard", &[]),
        ("good", "standard", &["a"]),
        ("bad", "standard", &[]),
        ("both", "standard", &["good", "bad"]),
        ("either", "deferred", &["good", "bad"]),
        ("all", "standard", &[]),
        ("any", "deferred", &[]),
        ("route", "decision", &[]),
        ("yes", "standard", &["route"]),
        ("log", "standard", &[]),
        ("report", "standard", &["log", "a"]),
    ];
    let two = json!({"dependencies": [failed("a"), failed("b")]});
    let one = json!({"dependencies": [failed("a")]});
    // It runs whatever the decision chooses.
    let log = json!({"dependencies": [{"step": "route", "on": "ended"}]});
    let keys = [("bad", one), ("all", two.clone()), ("any", two), ("log", log)];
    let found = warnings(&with(steps, &keys)).await;
    let found: Vec<_> =
        found.iter().map(|(path, code, _)| (path.as_str(), code.as_str())).collect();
    assert_eq!(
        found,
        [("/steps/4/dependencies", "partial_parents"), ("/steps/6/dependencies", "all_must_fail")]
    );
}

/// A list of about this many bytes, as PostgreSQL writes it.
fn list(bytes: usize, element: &str) -> String {
    let n = bytes / (element.len() + 2);
    format!("[{}]", vec![element; n].join(","))
}

/// What a process has used so far, in hundredths of a second: other tests run beside this one.
fn cpu_time(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |n: usize| fields.get(n).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis(10 * (ticks(12) + ticks(13)))
}

#[rstest]
#[case::a_list("$.context.a == 2", list(1_040_000, "1"))]
#[case::many_looks(
    &(0..50).map(|n| format!("$.context.a == {}", n + 2)).collect::<Vec<_>>().join(" || "),
    list(80_000, "1")
)]
#[case::places(&format!("$.context.a[*]{} == 2", "[0]".repeat(45)), list(14_000, "1"))]
#[case::two_lists("$.context.a == $.context.b", list(5_900, "1"))]
#[case::larger_lists("$.context.a[0 to 1999] == $.context.b[0 to 1999]", list(200_000, "1"))]
#[case::many_pairs(
    "$.context.a == $.context.b || $.context.a == $.context.b || $.context.b == $.context.a",
    list(3_300, "1")
)]
#[case::constants("$.constants.list != $.constants.list", list(100, "1"))]
#[case::signs(&format!("{}$.context.a[*] > 5", "-".repeat(300)), list(12_500, "1"))]
#[case::a_class("$.context.s like_regex \"z[a-z]{90}abcdefghijklmnopqrstuvwxy0\"", list(100, "1"))]
#[case::a_filter("$.context.a[*] ? (@ > 2 && @ < 3 || @ == 4).x == 1", list(43_000, "1"))]
#[case::within_a_filter("exists($.context.b[*] ? (@.x == @.y))", list(100, "1"))]
#[case::a_regex("$.context.s like_regex \"(.*a.{90})+x\"", list(100, "1"))]
#[case::a_regex_of_texts(
    "$.context.a[*] like_regex \"a.{30}b.{30}c.{30}x\"",
    list(28_000, "\"ab\"")
)]
#[case::large_numbers("$.context.n * $.context.n * $.context.n > 1", list(100, "1"))]
#[tokio::test]
async fn the_worst_that_is_accepted_takes_a_short_time(#[case] condition: &str, #[case] a: String) {
    let e = Engine::new().await;
    let mut context = format!(r#"{{"a": {a}"#);
    if condition.contains("$.context.b") {
        let b = if condition.contains('@') {
            format!(r#"[{{"x": {}, "y": {}}}]"#, list(1_450, "1"), list(1_450, "2"))
        } else {
            a.replace('1', "2")
        };
        context += &format!(r#", "b": {b}"#);
    }
    if condition.contains("$.context.s") {
        context += &format!(r#", "s": "{}""#, "abcad".repeat(12_000));
    }
    context += &format!(r#", "n": {}}}"#, "9".repeat(990));
    let mut template = with(STEPS, &[("a", json!({"when": condition}))]);
    template["constants"]["list"] = json!(vec![1; 1900]);
    e.apply(template).await;
    sqlx::query("update tasker.settings set max_context_bytes = 2000000")
        .execute(e.pool())
        .await
        .unwrap();
    sqlx::query("select tasker.enqueue_task('test', 'flow', $1::jsonb)")
        .bind(&context)
        .execute(e.pool())
        .await
        .unwrap();
    let (condition, task): (Value, uuid::Uuid) = sqlx::query_as(
        "select condition, (select task_id from tasker.tasks) from tasker.template_steps where \
         name = 'a'",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    let mut connection = e.pool().acquire().await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *connection).await.unwrap();
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let began = cpu_time(pid);
        let (value, error): (Option<Value>, Option<Value>) =
            sqlx::query_as("select value, error from tasker.condition_value($1, $2)")
                .bind(task)
                .bind(&condition)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
        best = best.min(cpu_time(pid) - began);
        assert!(value.is_some(), "{} of {}: {error:?}", context.len(), condition["bytes"]);
    }
    // 100 ms on a quiet machine.
    assert!(best < Duration::from_millis(250), "{best:?}");
}

#[rstest]
#[case::a_list("$.context.a == 2", list(530_000, "1"), "1048576")]
#[case::a_regex("$.context.a like_regex \"x\"", list(66_000, "1"), "65536")]
#[case::two_lists("$.context.a == $.context.b", list(400_000, "1"), "each with each")]
#[case::digits("$.context.a * 2 > 1", "9".repeat(1000), "1,000 digits")]
#[tokio::test]
async fn what_would_take_long_fails_by_name(
    #[case] condition: &str,
    #[case] a: String,
    #[case] text: &str,
) {
    let e = Engine::new().await;
    e.apply(with(STEPS, &[("a", json!({"when": condition}))])).await;
    sqlx::query("update tasker.settings set max_context_bytes = 2000000")
        .execute(e.pool())
        .await
        .unwrap();
    let id: uuid::Uuid =
        sqlx::query_scalar("select tasker.enqueue_task('test', 'flow', $1::jsonb)")
            .bind(format!(r#"{{"a": {a}, "b": {a}}}"#))
            .fetch_one(e.pool())
            .await
            .unwrap();
    e.initialize().await;
    e.process().await;
    let error = "select error::text from tasker.steps where task_id = $1 and name = 'a'";
    let error: Value = serde_json::from_str(&e.text(error, id).await).unwrap();
    assert_eq!(error["code"], "condition_too_large");
    assert!(error["message"].as_str().unwrap().contains(text), "{error}");
}
