//! Decisions: who approves an amount, at the limits of the amounts; who is not chosen has no row.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pgtasker_core::template::TemplateFile;
use pgtasker_examples::{approval, nested_approval, register, run_one};
use pgtasker_tests::TestDb;
use serde_json::{Value, json};

/// A context, who approves, and which steps there are.
type Case = (Value, &'static [&'static str], &'static str);

/// Runs a task for each case; what plain Rust expects must be what the table says.
async fn check(template: &str, expected: fn(&Value) -> Value, every_step: &[&str], cases: &[Case]) {
    let db = TestDb::new().await;
    let contexts: Vec<Value> = cases.iter().map(|(context, ..)| context.clone()).collect();
    let results = run_one(&db.url, template, &contexts, register).await.unwrap();
    for ((context, approvers, steps), result) in cases.iter().zip(results) {
        assert_eq!(result, json!({"finalize": {"approved_by": approvers}}), "{context}");
        assert_eq!(result, expected(context), "{context}");
        let (rows, absent): (String, Vec<String>) = sqlx::query_as(
            "select (select string_agg(s.name, ' ' order by s.name) from tasker.steps s where \
             s.task_id = t.task_id),
                    array(select d.step from tasker.step_dag d where d.task_id = t.task_id and \
                    d.presence = 'not_chosen' order by 1)
               from tasker.tasks t where t.context = $1",
        )
        .bind(context)
        .fetch_one(&db.pool)
        .await
        .unwrap();
        assert_eq!(rows, *steps, "{context}");
        let not_chosen: Vec<_> =
            every_step.iter().filter(|step| !steps.split(' ').any(|s| s == **step)).collect();
        assert_eq!(absent.iter().collect::<Vec<_>>(), not_chosen, "{context}");
    }
    let definition = TemplateFile::parse("template.yaml", template).unwrap().definition().clone();
    let warnings: i64 = sqlx::query_scalar("select count(*) from tasker.template_warnings($1)")
        .bind(definition)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(warnings, 0);
}

#[tokio::test]
async fn the_amount_decides_who_approves_and_the_others_have_no_row() {
    let every_step = ["auto_approve", "finalize", "finance", "manager", "route"];
    let rule = "auto_approve finalize route";
    let manager = "finalize manager route";
    let both = "finalize finance manager route";
    let cases: [Case; 7] = [
        (json!({"amount": 0}), &["rule"], rule),
        (json!({"amount": 999.99}), &["rule"], rule),
        (json!({"amount": 1_000}), &["manager"], manager),
        (json!({"amount": 1_000.01}), &["manager"], manager),
        (json!({"amount": 4_999.99}), &["manager"], manager),
        (json!({"amount": 5_000}), &["finance", "manager"], both),
        (json!({"amount": 1_000_000}), &["finance", "manager"], both),
    ];
    check(approval::TEMPLATE, approval::expected, &every_step, &cases).await;
}

#[tokio::test]
async fn a_decision_below_a_decision_adds_a_longer_branch_to_the_same_end() {
    let every_step = ["audit", "auto_approve", "board", "finalize", "finance", "manager", "route"];
    let rule = "auto_approve finalize route";
    let manager = "finalize manager route";
    let plain = "finalize finance manager route";
    let audited = "audit board finalize finance manager route";
    let case = |amount: f64, region: &str| json!({"amount": amount, "region": region});
    let cases: [Case; 8] = [
        // Who does not get as far as finance is never audited.
        (case(999.99, "abroad"), &["rule"], rule),
        (case(4_999.99, "home"), &["manager"], manager),
        (case(4_999.99, "abroad"), &["manager"], manager),
        (case(5_000.0, "home"), &["finance", "manager"], plain),
        (case(19_999.99, "home"), &["finance", "manager"], plain),
        (case(20_000.0, "home"), &["board", "finance", "manager"], audited),
        (case(5_000.0, "abroad"), &["board", "finance", "manager"], audited),
        (case(20_000.0, "abroad"), &["board", "finance", "manager"], audited),
    ];
    check(nested_approval::TEMPLATE, nested_approval::expected, &every_step, &cases).await;
}
