//! The commands of an operator, by somebody who has the role tasker_operator and no other right.

use crate::support::{FAILING, Folder, TWO_STEPS, tasker};
use pgtasker_tests::TestDb;

/// A task with steps, enqueued by the operator and started by an orchestrator.
async fn task(db: &TestDb, operator: &str) -> String {
    let enqueued =
        tasker(operator, &["task", "enqueue", "shop.order", "--context", "{}", "--json"])
            .await
            .json();
    sqlx::query("select tasker.start_tasks(10)").execute(&db.pool).await.unwrap();
    enqueued["task_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operator_needs_the_operators_role_and_nothing_else() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let (_, url) = db.login(&["tasker_operator"]).await;
    // Without a schema, which SQL alone cannot check.
    let lines = TWO_STEPS.lines().filter(|line| !line.starts_with("input_schema"));
    let two_steps = lines.collect::<Vec<_>>().join("\n");
    for (name, text) in [("order.yaml", two_steps.as_str()), ("failing.yaml", FAILING)] {
        let file = folder.write(name, text);
        tasker(&url, &["template", "validate", &file]).await.ok();
        tasker(&url, &["template", "apply", &file]).await.ok();
    }
    let task_id = task(&db, &url).await;
    let entry =
        tasker(&url, &["dead-letter", "add", &task_id, "--notes", "look", "--json"]).await.json();
    let entry = entry["entry_id"].as_str().unwrap_or_else(|| panic!("{entry}")).to_owned();
    for command in [
        "task list",
        "task show TASK",
        "template list",
        "template show shop.order",
        "queue list",
        "namespace pause shop --reason closed",
        "namespace resume shop",
        "namespace limit shop 10",
        "namespace limit shop --none",
        "dead-letter list",
        "dead-letter show ENTRY",
        "dead-letter update ENTRY --status manually_resolved --notes fine",
        "task resolve TASK --step first --result 1 --reason by_hand",
        "task cancel TASK --reason wrong",
        "prune",
    ] {
        let command = command.replace("TASK", &task_id).replace("ENTRY", &entry);
        let words: Vec<&str> = command.split(' ').collect();
        let run = tasker(&url, &words).await;
        assert_eq!(run.code, Some(0), "{command}: {run:?}");
    }
    let retried = task(&db, &url).await;
    for (state, command) in [
        ("error", "task reset TASK --reason again"),
        ("blocked_by_failures", "task retry TASK --reason again"),
    ] {
        // What only an engine brings about, told by its refusal to do what is not needed.
        let command = command.replace("TASK", &retried);
        let run = tasker(&url, &command.split(' ').collect::<Vec<_>>()).await;
        assert!(!run.stderr.contains("permission denied"), "{state}: {run:?}");
    }
}

/// Says which right is missing.
#[tokio::test]
async fn whoever_has_another_role_is_told_what_is_missing() {
    let db = TestDb::new().await;
    for role in ["tasker_client", "tasker_worker", "tasker_readonly"] {
        let (_, url) = db.login(&[role]).await;
        let refused = tasker(&url, &["namespace", "pause", "shop"]).await.failed();
        assert!(
            refused.contains("permission denied for function pause_namespace"),
            "{role}: {refused}"
        );
    }
    let (_, url) = db.login(&["tasker_readonly"]).await;
    tasker(&url, &["task", "list"]).await.ok();
}
