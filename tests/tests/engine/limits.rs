//! What clients, operators, and templates may pile up has a limit each, a setting, and an error
//! that names both.

use pgtasker_tests::engine::{Engine, flow, growing_flow};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, query, query_scalar};

/// The message of a call that is refused as over a limit.
async fn over(e: &Engine, sql: &str) -> String {
    let error = query(AssertSqlSafe(sql.to_owned())).execute(e.pool()).await.expect_err(sql);
    let error = error.into_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("TK019"), "{sql}: {error}");
    assert!(error.message().len() < 500, "{}", error.message());
    error.message().to_owned()
}

async fn engine() -> Engine {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    e
}

#[tokio::test]
async fn a_context_over_its_limit_is_refused_when_it_is_enqueued() {
    let e = engine().await;
    let large = "jsonb_build_object('doc', repeat('x', 1100000))";
    let message = over(&e, &format!("select tasker.enqueue_task('test', 'flow', {large})")).await;
    assert!(message.contains("1048576 bytes"), "{message}");
    over(&e, &format!("select tasker.enqueue_tasks('test', 'flow', array['{{}}', {large}])")).await;
    // A few bytes stored, megabytes as text.
    let numbers = format!("'{{\"n\": [{}]}}'::jsonb", ["1e131071"; 10].join(","));
    over(&e, &format!("select tasker.enqueue_task('test', 'flow', {numbers})")).await;
    let many = "jsonb_build_object('n', (select jsonb_agg(('1e' || (100000 + n))::numeric) from \
        generate_series(1, 20000) n))";
    over(&e, &format!("select tasker.enqueue_task('test', 'flow', {many})")).await;
    query(
        "select tasker.enqueue_task('test', 'flow', jsonb_build_object('doc', repeat('x', \
        1000000)))",
    )
    .execute(e.pool())
    .await
    .unwrap();
    query("update tasker.settings set max_context_bytes = 2000000")
        .execute(e.pool())
        .await
        .unwrap();
    query(AssertSqlSafe(format!("select tasker.enqueue_task('test', 'flow', {large})")))
        .execute(e.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn one_call_enqueues_no_more_than_its_limit() {
    let e = engine().await;
    let of = |count: u32, context: &str| {
        format!(
            "select tasker.enqueue_tasks('test', 'flow', array_fill({context}, array[{count}]))"
        )
    };
    let message = over(&e, &of(100_001, "'{}'::jsonb")).await;
    assert!(message.contains("100000 contexts"), "{message}");
    query("update tasker.settings set max_context_bytes = 10000").execute(e.pool()).await.unwrap();
    over(&e, &of(100, "jsonb_build_object('doc', repeat('x', 9000))")).await;
    let count: i64 =
        query_scalar("select count(*) from tasker.tasks").fetch_one(e.pool()).await.unwrap();
    assert_eq!(count, 0);
    // Each context of the array is a task, whatever shape it has.
    let ids: Vec<uuid::Uuid> = query_scalar(
        "select tasker.enqueue_tasks('test', 'flow', \
         '[3:4][1:2]={{\"{}\",\"{}\"},{\"{}\",\"{}\"}}'::jsonb[])",
    )
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn an_idempotency_key_has_a_limit_in_bytes() {
    let e = engine().await;
    let key = |of: &str, times: usize| {
        format!(
            "select tasker.enqueue_task('test', 'flow', p_idempotency_key => repeat('{of}', \
             {times}))"
        )
    };
    let message = over(&e, &key("k", 501)).await;
    assert!(message.contains("idempotency key") && message.contains("500"), "{message}");
    over(&e, &key("é", 251)).await;
    over(
        &e,
        "select tasker.enqueue_task('test', 'flow', p_idempotency_key => (select \
        string_agg(md5(n::text), '') from generate_series(1, 125) n))",
    )
    .await;
    query(AssertSqlSafe(key("k", 500))).execute(e.pool()).await.unwrap();
}

#[rstest]
#[case("cancel_task($t, $r, $b)")]
#[case("cancel_tasks('{\"namespace\":\"test\"}', $r, $b)")]
#[case("retry_tasks('{\"namespace\":\"test\"}', $r, $b)")]
#[case("retry_step($t, 'a', $r, $b)")]
#[case("resolve_step($t, 'a', '1', $r, $b)")]
#[case("resolve_task($t, '1', $r, $b)")]
#[case("pause_namespace('test', $r, $b)")]
#[case("add_dead_letter($t, $r, $b)")]
#[case("update_dead_letter($d, 'cancelled', $r, $b)")]
#[case("retry_dead_letter($d, $r, $b)")]
#[case("reset_task($t, $r, $b)")]
#[tokio::test]
async fn a_reason_and_who_gives_it_have_limits(#[case] call: &str) {
    let e = engine().await;
    let mut template = flow(&[("a", &[])]);
    template["version"] = json!("2");
    template["on_failure"] = json!(if call.starts_with("reset") { "fail" } else { "block" });
    e.apply(template).await;
    let task = e.start().await;
    if ["reset", "retry_step", "retry_dead_letter"].iter().any(|failed| call.starts_with(failed)) {
        let failure = json!({"type": "failure", "message": "no", "retryable": false});
        e.submit(&e.claim(1).await[0], failure).await;
        e.process().await;
    }
    let entry: uuid::Uuid = query_scalar("select tasker.add_dead_letter($1)")
        .bind(task)
        .fetch_one(e.pool())
        .await
        .unwrap();
    let with = |reason: &str, by: &str| {
        let call = call.replace("$t", &format!("'{task}'")).replace("$d", &format!("'{entry}'"));
        format!("select tasker.{}", call.replace("$r", reason).replace("$b", by))
    };
    let message = over(&e, &with("repeat('x', 10001)", "'ana'")).await;
    assert!(message.contains("10000 characters"), "{message}");
    let message = over(&e, &with("'why'", "repeat('x', 201)")).await;
    assert!(message.contains("p_by") && message.contains("200"), "{message}");
    query(AssertSqlSafe(with("repeat('é', 10000)", "repeat('é', 200)")))
        .execute(e.pool())
        .await
        .unwrap();
}

async fn problems(e: &Engine, template: &Value) -> Vec<String> {
    query_scalar("select path || ' ' || code || ': ' || message from tasker.validate_template($1)")
        .bind(template)
        .fetch_all(e.pool())
        .await
        .unwrap()
}

#[rstest]
#[case("max_template_steps = 3", "4")]
#[case("max_template_edges = 4", "5")]
#[case("max_template_depth = 2", "3")]
#[case("max_template_width = 2", "3")]
#[tokio::test]
async fn a_templates_steps_edges_depth_and_width_have_limits_that_say_so(
    #[case] limit: &str,
    #[case] has: &str,
) {
    let e = Engine::new().await;
    let template = growing_flow(&[
        ("a", "standard", &[]),
        ("b", "standard", &["a"]),
        ("c", "standard", &["a"]),
        ("d", "standard", &["a", "b", "c"]),
    ]);
    assert_eq!(problems(&e, &template).await, [""; 0]);
    query(AssertSqlSafe(format!("update tasker.settings set {limit}")))
        .execute(e.pool())
        .await
        .unwrap();
    let found = problems(&e, &template).await;
    let setting = limit.split(' ').next().unwrap();
    assert!(!found.is_empty(), "{limit}");
    for problem in &found {
        assert!(
            problem.contains("too_large") && problem.contains(setting) && problem.contains(has),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn a_template_has_a_limit_in_bytes_and_is_not_looked_at_beyond() {
    let e = Engine::new().await;
    let mut template = growing_flow(&[("a", "standard", &[])]);
    template["description"] = json!("x".repeat(5_000_000));
    template["steps"][0]["nonsense"] = json!(1);
    let found = problems(&e, &template).await;
    assert!(found.len() == 1 && found[0].contains("max_template_bytes"), "{found:?}");
}
