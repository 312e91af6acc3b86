//! The commands over the HTTP API: without a database URL, and with the same output.

use crate::support::{Folder, Run, TWO_STEPS, command, run, tasker};
use pgtasker_tests::{ApiServer, engine::Engine};
use serde_json::json;
use std::time::Duration;

/// Runs the program with the API's URL and no database.
async fn over(api: &ApiServer, args: &[&str]) -> Run {
    let mut command = command(None, &std::env::temp_dir(), args);
    command.arg("--api").arg(&api.url);
    run(command).await
}

/// Without how many seconds ago something was.
fn ageless(text: &str) -> String {
    let parts =
        text.split(" s ago").map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
    parts.collect::<Vec<_>>().join(" s ago")
}

async fn world() -> (Engine, ApiServer) {
    let engine = Engine::new().await;
    let api = ApiServer::start(engine.pool()).await;
    (engine, api)
}

#[tokio::test]
async fn a_task_is_applied_enqueued_listed_and_shown_as_over_the_database() {
    let ((e, api), folder) = (world().await, Folder::new());
    let file = folder.write("order.yaml", &TWO_STEPS.replace("shop", "test"));
    assert_eq!(
        over(&api, &["template", "validate", &file]).await.ok(),
        format!("{file}: test.order 1.0.0 is valid\n")
    );
    assert_eq!(over(&api, &["template", "apply", &file]).await.ok(), "applied test.order 1.0.0\n");
    let id =
        over(&api, &["task", "enqueue", "test.order", "--context", "{\"order_id\": 7}"]).await.ok();
    e.initialize().await;
    e.drain().await;
    let id = id.trim();
    for args in [
        vec!["task", "show", id, "--audit"],
        vec!["task", "show", id, "--json"],
        vec!["task", "list", "--json"],
        vec!["task", "watch", id],
        vec!["step", "list", id, "--json"],
        vec!["step", "show", id, "second", "--json"],
        vec!["step", "transitions", id, "second"],
        vec!["template", "list", "--json"],
        vec!["template", "show", "test.order"],
        vec!["dead-letter", "counts"],
        vec!["worker", "list", "--json"],
        vec!["health"],
    ] {
        let (by_api, by_database) =
            (over(&api, &args).await.ok(), tasker(&e.db.url, &args).await.ok());
        assert_eq!(ageless(&by_api), ageless(&by_database), "{args:?}");
    }
    let refused = over(&api, &["task", "enqueue", "test.nothing"]).await.failed();
    assert_eq!(refused, tasker(&e.db.url, &["task", "enqueue", "test.nothing"]).await.failed());
    assert!(refused.contains("(TK002)"), "{refused}");
}

#[tokio::test]
async fn operators_need_no_database() {
    let (e, api) = world().await;
    e.apply_flow(&[("first", &[]), ("second", &["first"])]).await;
    let id = e.start().await;
    let outcome = json!({"type": "failure", "message": "declined", "retryable": false});
    e.submit(&e.claim(1).await[0], outcome).await;
    e.process().await;
    let task = id.to_string();
    let retry = ["step", "retry", &task, "first", "--by", "ana", "--reason", "card was renewed"];
    assert_eq!(over(&api, &retry).await.ok(), "retried: the task is waiting_for_dependencies\n");
    let audit = over(&api, &["step", "audit", &task, "first"]).await.ok();
    assert!(audit.contains("retried by ana (login postgres): card was renewed"), "{audit}");
    let resolve = ["step", "resolve", &task, "first", "--result", "{\"paid\": true}"];
    assert_eq!(over(&api, &resolve).await.ok(), "resolved: the task is waiting_for_dependencies\n");
    assert_eq!(over(&api, &["namespace", "pause", "test"]).await.ok(), "test: paused\n");
    assert!(over(&api, &["queue", "list"]).await.ok().contains("worker_test_queue"));
    let entry = over(&api, &["dead-letter", "add", &task, "--notes", "look"]).await.ok();
    assert!(over(&api, &["dead-letter", "list"]).await.ok().contains(entry.trim()));
    assert_eq!(over(&api, &["task", "cancel", &task]).await.ok(), "cancelled\n");
    assert_eq!(over(&api, &["prune"]).await.ok(), "removed 0 tasks, 0 dead letters\n");
}

#[tokio::test]
async fn a_list_says_that_there_is_more_and_gives_all_when_asked() {
    let (e, api) = world().await;
    e.apply_flow(&[("only", &[])]).await;
    for _ in 0..22 {
        e.enqueue(json!({})).await;
    }
    for over_api in [true, false] {
        let list = async |args: &[&str]| match over_api {
            true => over(&api, args).await,
            false => tasker(&e.db.url, args).await,
        };
        let first = list(&["task", "list", "--json"]).await;
        assert!(
            first.stderr.contains("the first 20") && first.stderr.contains("--limit all"),
            "{first:?}"
        );
        assert_eq!(first.json().as_array().unwrap().len(), 20);
        let all =
            list(&["task", "list", "--limit", "all", "--state", "pending,error", "--json"]).await;
        assert_eq!(all.stderr, "");
        assert_eq!(all.json().as_array().unwrap().len(), 22);
        let none = list(&["task", "list", "--created-before", "1h"]).await;
        assert_eq!((none.stderr.as_str(), none.stdout.as_str()), ("no such tasks\n", ""));
    }
}

#[tokio::test]
async fn health_is_an_exit_code_and_one_document() {
    let (e, api) = world().await;
    assert_eq!(over(&api, &["health", "--json"]).await.json()["healthy"], true);
    let url = api.url.clone();
    drop(api);
    sqlx::query("drop schema tasker cascade").execute(e.pool()).await.unwrap();
    let broken = tasker(&e.db.url, &["health"]).await.failed();
    assert!(broken.contains("not healthy: "), "{broken}");
    let broken = tasker(&e.db.url, &["health", "--json"]).await;
    assert_eq!(broken.code, Some(1));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&broken.stdout).unwrap()["healthy"],
        false
    );
    pgtasker_tests::eventually("the API is gone", Duration::from_secs(30), async || {
        let run = run(command(None, &std::env::temp_dir(), &["health", "--api", &url])).await;
        run.code == Some(1) && run.stderr.contains("cannot be reached")
    })
    .await;
}

#[tokio::test]
async fn top_prints_one_page_where_nobody_watches() {
    let (e, api) = world().await;
    e.apply_flow(&[("only", &[])]).await;
    e.start().await;
    let page = over(&api, &["top", "--interval", "100ms"]).await.ok();
    for text in
        ["rates ", "tasks/s", "worker_test_queue", "1 unfinished in the last hour", "no workers"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    let document = over(&api, &["top", "--once", "--json", "--interval", "100ms"]).await.json();
    assert_eq!(document["tasks"]["unfinished"], 1);
    assert!(document["rates"]["steps"].is_number() && document["queues"].is_array(), "{document}");
}

#[tokio::test]
async fn a_key_is_never_sent_unencrypted_to_another_machine() {
    let args = ["task", "list", "--api", "http://tasker.example", "--api-key", "tk_secret"];
    let refused = run(command(None, &std::env::temp_dir(), &args)).await.failed();
    assert!(refused.contains("unencrypted") && refused.contains("https"), "{refused}");
    assert!(!refused.contains("tk_secret"), "{refused}");
}
