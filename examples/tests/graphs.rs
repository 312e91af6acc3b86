//! Each of the four graphs runs from its file to its results with an orchestrator and a worker in
//! this process; plain Rust says what must come out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pgtasker_examples::{Error, dag, diamond, linear, register, run_one, tree};
use pgtasker_tests::TestDb;
use rstest::rstest;
use serde_json::{Value, json};

/// The steps of each level, in order, as the engine sees the graph.
async fn levels(db: &TestDb) -> Vec<String> {
    let sql = "select string_agg(d.step, ' ' order by d.step) from tasker.step_dag d
                where d.task_id = (select min(t.task_id::text) from tasker.task_overview t)::uuid \
                group by d.level order by d.level";
    sqlx::query_scalar(sql).fetch_all(&db.pool).await.unwrap()
}

#[rstest]
#[case::linear(linear::TEMPLATE, linear::expected, &["numbers", "squares", "odd", "sum"])]
#[case::diamond(diamond::TEMPLATE, diamond::expected, &["numbers", "sum sum_of_squares", "spread"])]
#[case::tree(tree::TEMPLATE, tree::expected, &["whole", "high low", "high_high high_low low_high \
    low_low", "gather"])]
#[case::dag(
    dag::TEMPLATE,
    dag::expected,
    &["numbers", "cubes squares", "difference root", "halved", "report"]
)]
#[tokio::test]
async fn the_results_are_those_of_plain_rust(
    #[case] template: &str,
    #[case] expected: fn(&Value) -> Value,
    #[case] graph: &[&str],
) {
    let db = TestDb::new().await;
    let contexts: Vec<Value> = [1, 2, 3, 6, 7, 100, 1000].iter().map(|n| json!({"n": n})).collect();
    let results = run_one(&db.url, template, &contexts, register).await.unwrap();
    assert_eq!(results, contexts.iter().map(expected).collect::<Vec<_>>());
    assert_eq!(levels(&db).await, graph);
}

#[tokio::test]
async fn an_example_runs_again_in_the_same_database() {
    let db = TestDb::new().await;
    for _ in 0..2 {
        let results =
            run_one(&db.url, linear::TEMPLATE, &[json!({"n": 6})], register).await.unwrap();
        assert_eq!(results, [json!({"sum": 35})]);
    }
}

#[tokio::test]
async fn a_context_outside_the_schema_is_an_error_that_names_the_field() {
    let db = TestDb::new().await;
    let error = run_one(&db.url, tree::TEMPLATE, &[json!({"n": 0})], register).await.unwrap_err();
    assert!(matches!(&error, Error::Task { state, .. } if state == "error"), "{error}");
    assert!(error.to_string().contains("/n"), "{error}");
}
