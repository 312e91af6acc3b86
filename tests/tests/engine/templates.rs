//! Template files against the database: every problem at its line and column, and applying.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_core::template::{self, TemplateFile};
use pgtasker_tests::{TestDb, engine::growing_flow};
use serde_json::json;

const GOOD: &str = r#"
namespace: orders
name: fulfil
version: "1.0.0"
input_schema: { type: object, required: [order_id], properties: { order_id: { type: integer } } }
on_failure: block
steps:
  - name: reserve
    handler: { callable: sql, config: { function: shop.reserve } }
  - name: charge
    dependencies: [reserve]
    handler: { callable: charge_card, config: { currency: EUR } }
    retry:
      retryable: true
      max_attempts: 3
      backoff: exponential
      backoff_base_ms: 1000
      max_backoff_ms: 60000
      jitter: true
    timeout_seconds: 300
"#;

const BAD: &str = r#"namespace: Orders
name: fulfil
version: 1.0
input_schema: { type: object, properties: { a: { type: intger } } }
steps:
  - name: a
    handlr: { callable: noop }
    dependencies: [b]
  - name: b
    dependencies: [a, c]
    handler: { callable: noop }
    retry: { max_attempts: 0 }
"#;

fn file(text: &str) -> TemplateFile {
    TemplateFile::parse("t.yaml", text).unwrap()
}

/// Position and code of every problem.
async fn problems(db: &TestDb, text: &str) -> Vec<(usize, usize, String)> {
    let file = file(text);
    let (found, _) =
        template::validate_template(&db.pool, file.definition()).await.unwrap().locate(&file);
    found.into_iter().map(|d| (d.position.line, d.position.column, d.code)).collect()
}

#[tokio::test]
async fn every_problem_is_reported_where_it_stands() {
    let db = TestDb::new().await;
    let expected = [
        (1, 12, "invalid_name"),
        (3, 10, "invalid_version"),
        (4, 56, "input_schema"),
        (6, 5, "missing_key"),
        (7, 5, "unknown_key"),
        (10, 5, "cycle"),
        (10, 23, "unknown_dependency"),
        (12, 28, "invalid_number"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(line, column, code)| (*line, *column, (*code).to_owned())).collect();
    assert_eq!(problems(&db, BAD).await, expected);
}

#[tokio::test]
async fn a_number_as_version_is_told_to_take_quotes() {
    let db = TestDb::new().await;
    let file = file(&GOOD.replace("\"1.0.0\"", "1.0"));
    let (found, _) =
        template::validate_template(&db.pool, file.definition()).await.unwrap().locate(&file);
    let text = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(
        text.starts_with("t.yaml:4:10: version must be a string") && text.contains("in quotes"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_no_mapping_is_reported_at_its_beginning() {
    let db = TestDb::new().await;
    assert_eq!(problems(&db, "\n- a\n").await, [(2, 1, "invalid_type".to_owned())]);
}

#[tokio::test]
async fn applying_again_changes_nothing_and_other_content_is_refused() {
    let db = TestDb::new().await;
    assert_eq!(problems(&db, GOOD).await, []);
    let first = template::apply_template(&db.pool, file(GOOD).definition(), None).await.unwrap();
    let again = template::apply_template(
        &db.pool,
        file(&file(GOOD).definition().to_string()).definition(),
        None,
    )
    .await
    .unwrap();
    assert!(first.created && !again.created);
    assert_eq!(first.template_id, again.template_id);
    let other =
        template::apply_template(&db.pool, file(&GOOD.replace("EUR", "USD")).definition(), None)
            .await
            .unwrap_err();
    assert_eq!(other.sqlstate().as_deref(), Some("TK011"));
    let invalid =
        template::apply_template(&db.pool, file(BAD).definition(), None).await.unwrap_err();
    assert_eq!(invalid.sqlstate().as_deref(), Some("TK010"));
}

#[tokio::test]
async fn the_definition_reaches_the_database_unchanged() {
    let db = TestDb::new().await;
    template::apply_template(&db.pool, file(GOOD).definition(), None).await.unwrap();
    let stored = pgtasker_client::calls::show_template(&db.pool, "orders", "fulfil", None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.definition, *file(GOOD).definition());
    assert_eq!(stored.definition["steps"][1]["dependencies"], json!(["reserve"]));
}

#[tokio::test]
async fn the_lifecycle_is_checked_and_kept() {
    let db = TestDb::new().await;
    let with = |lifecycle: &str| GOOD.replace("steps:", &format!("lifecycle: {lifecycle}\nsteps:"));
    let codes = async |lifecycle: &str| -> Vec<String> {
        problems(&db, &with(lifecycle)).await.into_iter().map(|(_, _, code)| code).collect()
    };
    assert_eq!(
        codes("{ max_duration_minutes: 0, retention_days: -1 }").await,
        ["invalid_number"; 2]
    );
    assert_eq!(codes("{ max_minutes: 5 }").await, ["unknown_key"]);
    assert_eq!(codes("[]").await, ["invalid_type"]);
    let good =
        with("{ max_waiting_for_retry_minutes: 0.5, max_duration_minutes: 7, retention_days: 0 }");
    template::apply_template(&db.pool, file(&good).definition(), None).await.unwrap();
    let kept: serde_json::Value = sqlx::query_scalar(
        "select jsonb_build_array(max_waiting_for_dependencies_minutes, \
         max_waiting_for_retry_minutes, max_steps_in_process_minutes,
                                  max_duration_minutes, retention_days) from tasker.templates",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!(kept, json!([null, 0.5, null, 7, 0]));
}

/// Name, type, and dependencies of each step.
type Steps = &'static [(&'static str, &'static str, &'static [&'static str])];

/// Choices that lead nowhere, and where that stands.
const REFUSED: &[(Steps, &str)] = &[
    (
        &[("a", "standard", &[]), ("w", "batch_worker", &["a"])],
        "/steps/1/dependencies invalid_batch",
    ),
    (
        &[("a", "standard", &[]), ("b", "batchable", &[]), ("w", "batch_worker", &["b", "a"])],
        "/steps/2/dependencies invalid_batch",
    ),
    (&[("w", "batch_worker", &[])], "/steps/0/dependencies invalid_batch"),
    (&[("b", "batchable", &[]), ("c", "standard", &["b"])], "/steps/0 invalid_batch"),
    (&[("d", "decision", &[])], "/steps/0 invalid_decision"),
    (&[("d", "choice", &[])], "/steps/0/type invalid_value"),
    (
        &[("b", "batchable", &[]), ("w", "batch_worker", &["b"]), ("w_001", "standard", &["w"])],
        "/steps/2/name colliding_name",
    ),
];

#[tokio::test]
async fn a_template_whose_choices_lead_nowhere_is_refused() {
    let db = TestDb::new().await;
    for (steps, problem) in REFUSED {
        let problems: Vec<String> =
            sqlx::query_scalar("select path || ' ' || code from tasker.validate_template($1)")
                .bind(growing_flow(steps))
                .fetch_all(&db.pool)
                .await
                .unwrap();
        assert_eq!(problems, [*problem], "{steps:?}");
    }
}

/// Valid templates, and the steps that are warned of.
const WARNED: &[(Steps, &[&str])] = &[
    (
        &[
            ("d", "decision", &[]),
            ("x", "standard", &["d"]),
            ("y", "standard", &["d"]),
            ("end", "standard", &["x", "y"]),
        ],
        &["/steps/3/dependencies"],
    ),
    (
        &[
            ("d", "decision", &[]),
            ("x", "standard", &["d"]),
            ("y", "standard", &["d"]),
            ("end", "deferred", &["x", "y"]),
        ],
        &[],
    ),
    (
        &[
            ("d", "decision", &[]),
            ("x", "standard", &["d"]),
            ("y", "standard", &["x"]),
            ("end", "standard", &["x", "y"]),
        ],
        &[],
    ),
    (
        &[
            ("a", "standard", &[]),
            ("d", "decision", &["a"]),
            ("x", "standard", &["d"]),
            ("end", "standard", &["a", "x"]),
        ],
        &["/steps/3/dependencies"],
    ),
    (
        &[
            ("a", "standard", &[]),
            ("b", "batchable", &["a"]),
            ("w", "batch_worker", &["b"]),
            ("end", "standard", &["a", "w"]),
        ],
        &[],
    ),
];

#[tokio::test]
async fn a_step_that_may_have_only_some_of_its_parents_is_warned_of() {
    let db = TestDb::new().await;
    for (steps, paths) in WARNED {
        let warnings: Vec<String> = sqlx::query_scalar(
            "select path from tasker.template_warnings($1) where code = 'partial_parents'",
        )
        .bind(growing_flow(steps))
        .fetch_all(&db.pool)
        .await
        .unwrap();
        assert_eq!(warnings, *paths, "{steps:?}");
    }
}

#[tokio::test]
async fn a_template_of_two_hundred_steps_is_applied_soon_whatever_is_known_of_the_tables() {
    let db = TestDb::new().await;
    let names: Vec<String> = (0..199).map(|n| format!("s{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut wide = vec![("route", "decision", &[] as &[&str])];
    wide.extend(all.iter().map(|name| (*name, "standard", &["route"] as &[&str])));
    wide.push(("end", "deferred", &all));
    let mut template = growing_flow(&wide);
    for version in ["1", "2"] {
        template["version"] = json!(version);
        let begun = std::time::Instant::now();
        sqlx::query("select tasker.apply_template($1)")
            .bind(&template)
            .execute(&db.pool)
            .await
            .unwrap();
        assert!(begun.elapsed().as_secs() < 5, "version {version} took {:?}", begun.elapsed());
        // With statistics, the plans of the second were nested loops over all steps: half a minute.
        sqlx::query("analyze").execute(&db.pool).await.unwrap();
    }
    let level: i32 = sqlx::query_scalar("select max(level) from tasker.template_steps")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(level, 2);
}

/// A chain in the order of its dependencies or against it, and a graph with every edge that it can
/// have.
fn large(kind: &str) -> serde_json::Value {
    let step = |n: usize, parents: Vec<String>| {
        json!({
            "name": format!("s{n}"),
            "handler": {"callable": "noop"},
            "dependencies": parents,
        })
    };
    let name = |n: usize| format!("s{n}");
    let before = |n: usize| n.checked_sub(1).map(name).into_iter().collect();
    let steps: Vec<_> = match kind {
        "chain" => (0..5_000).map(|n| step(n, before(n))).collect(),
        "chain from its end" => (0..5_000).rev().map(|n| step(n, before(n))).collect(),
        _ => (0..200).map(|n| step(n, (0..n).map(name).collect())).collect(),
    };
    json!({"namespace": "test", "name": "large", "version": kind, "steps": steps})
}

#[rstest::rstest]
#[case("chain", 4_999)]
#[case("chain from its end", 4_999)]
#[case("all edges", 199)]
#[tokio::test]
async fn a_large_template_is_checked_and_applied_in_about_linear_time(
    #[case] kind: &str,
    #[case] level: i32,
) {
    let db = TestDb::new().await;
    let template = large(kind);
    for check in ["validate_template", "template_warnings", "apply_template"] {
        let begun = std::time::Instant::now();
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select count(*) from tasker.{check}($1)"
        )))
        .bind(&template)
        .fetch_one(&db.pool)
        .await
        .unwrap();
        assert_eq!(found, i64::from(check == "apply_template"));
        // A second or less where nothing else runs; it was cubic, and took many minutes.
        assert!(begun.elapsed().as_secs() < 120, "{check} took {:?}", begun.elapsed());
    }
    let deepest: i32 = sqlx::query_scalar("select max(level) from tasker.template_steps")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(deepest, level);
    let mut cycle = template;
    let steps = cycle["steps"].as_array_mut().unwrap();
    let (first, last) =
        if kind == "chain from its end" { (4_999, 0) } else { (0, steps.len() - 1) };
    steps[first]["dependencies"] = json!([steps[last]["name"]]);
    let (path, message): (String, String) = sqlx::query_as(
        "select path, message from tasker.validate_template($1) where code = 'cycle'",
    )
    .bind(&cycle)
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert!(path.starts_with("/steps/") && message.starts_with("cycle: s"), "{path} {message}");
    assert!(message.len() < 1_000, "{message}");
}
