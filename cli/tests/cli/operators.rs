//! What operators do by the program: retry, reset, resolve, cancel; one task, one step, or all that
//! match.

use crate::support::tasker;
use pgtasker_tests::engine::{Claim, Engine};
use serde_json::{Value, json};
use uuid::Uuid;

/// The engine driven by hand, with a template `test.flow` of two steps.
async fn engine() -> Engine {
    let e = Engine::new().await;
    e.apply_flow(&[("first", &[]), ("second", &["first"])]).await;
    e
}

async fn fail(e: &Engine, claim: &Claim) {
    let outcome = json!({
        "type": "failure",
        "message": "card declined",
        "code": "declined",
        "retryable": false,
    });
    assert_eq!(e.submit(claim, outcome).await, "accepted");
    e.process().await;
}

/// A task that is blocked by the failure of its first step.
async fn blocked(e: &Engine) -> Uuid {
    let id = e.start().await;
    fail(e, &e.claim(1).await[0]).await;
    id
}

async fn audit(e: &Engine, id: Uuid) -> String {
    tasker(&e.db.url, &["task", "show", &id.to_string(), "--audit"]).await.ok()
}

#[tokio::test]
async fn a_step_is_retried_with_who_and_why() {
    let e = engine().await;
    let id = blocked(&e).await;
    let task = id.to_string();
    let retry =
        ["task", "retry", &task, "--step", "first", "--by", "ana", "--reason", "card was renewed"];
    assert_eq!(
        tasker(&e.db.url, &retry).await.ok(),
        "retried: the task is waiting_for_dependencies\n"
    );
    assert_eq!(
        tasker(&e.db.url, &retry).await.ok(),
        "the step waits or runs already: the task is waiting_for_dependencies\n"
    );
    assert!(audit(&e, id).await.contains("retried by ana (login postgres): card was renewed"));
    e.enqueue_ready().await;
    assert_eq!(e.drain().await, ["first", "second"]);
    let refused = tasker(&e.db.url, &retry).await.failed();
    assert!(refused.contains("(TK031)") && refused.contains("hint: "), "{refused}");
    assert!(
        tasker(&e.db.url, &["task", "retry", &task])
            .await
            .failed()
            .contains("already finished: complete")
    );
    let unknown = ["task", "retry", &task, "--step", "third"];
    assert!(
        tasker(&e.db.url, &unknown).await.failed().contains("no step \"third\" (TK032)\nhint: ")
    );
}

#[tokio::test]
async fn a_whole_task_is_retried_and_the_user_is_known_without_an_option() {
    let e = engine().await;
    let id = blocked(&e).await;
    let task = id.to_string();
    let mut command = crate::support::command(
        Some(&e.db.url),
        &std::env::temp_dir(),
        &["task", "retry", &task, "--json"],
    );
    let retried = crate::support::run({
        command.env("USER", "ben");
        command
    });
    assert_eq!(
        retried.await.json(),
        json!({"task_id": id, "retried": true, "state": "waiting_for_dependencies"})
    );
    assert!(audit(&e, id).await.contains("retried by ben"));
    let again = tasker(&e.db.url, &["task", "retry", &task]).await.ok();
    assert!(again.starts_with("nothing keeps it from going on"), "{again}");
    let reset = tasker(&e.db.url, &["task", "reset", &task]).await.ok();
    assert!(reset.starts_with("it has not finished"), "{reset}");
}

#[tokio::test]
async fn a_step_and_a_task_are_resolved_with_a_result() {
    let e = engine().await;
    let id = blocked(&e).await;
    let task = id.to_string();
    let step = ["task", "resolve", &task, "--step", "first", "--result", "{\"paid\": true}"];
    assert_eq!(
        tasker(&e.db.url, &step).await.ok(),
        "resolved: the task is waiting_for_dependencies\n"
    );
    let again = tasker(&e.db.url, &step).await.ok();
    assert!(again.starts_with("the step is complete or resolved already"), "{again}");
    let bad = ["task", "resolve", &task, "--result", "{x"];
    assert!(tasker(&e.db.url, &bad).await.failed().contains("the result is not JSON"));

    let whole =
        ["task", "resolve", &task, "--result", "7", "--by", "ana", "--reason", "by telephone"];
    assert_eq!(tasker(&e.db.url, &whole).await.ok(), "resolved: the task is resolved_manually\n");
    assert_eq!(
        tasker(&e.db.url, &whole).await.ok(),
        "resolved before: the task is resolved_manually\n"
    );
    let shown = tasker(&e.db.url, &["task", "show", &task, "--json"]).await.json();
    assert_eq!(shown["result"], 7);
    assert!(audit(&e, id).await.contains("resolved by ana (login postgres): by telephone"));
    assert!(
        tasker(&e.db.url, &["task", "cancel", &task]).await.failed().contains("resolved_manually")
    );
}

#[tokio::test]
async fn a_task_in_error_is_reset_and_says_so_where_that_is_needed() {
    let e = Engine::new().await;
    let mut template = pgtasker_tests::engine::flow(&[("first", &[]), ("second", &["first"])]);
    template["on_failure"] = json!("fail");
    e.apply(template).await;
    let id = blocked(&e).await;
    let task = id.to_string();
    assert_eq!(e.task_state(id).await, "error");
    let refused = tasker(&e.db.url, &["task", "resolve", &task]).await.failed();
    assert!(refused.contains("tasker task reset"), "{refused}");
    let reset = ["task", "reset", &task, "--by", "ana", "--reason", "fixed"];
    assert_eq!(
        tasker(&e.db.url, &reset).await.ok(),
        "reset: the task is waiting_for_dependencies\n"
    );
    assert!(audit(&e, id).await.contains("reset by ana (login postgres): fixed"));
    e.enqueue_ready().await;
    assert_eq!(e.drain().await, ["first", "second"]);
    assert!(tasker(&e.db.url, &reset).await.failed().contains("(TK031)"));
}

#[tokio::test]
async fn many_are_counted_first_and_taken_only_with_all() {
    let e = engine().await;
    let url = &e.db.url;
    let failed = [blocked(&e).await, blocked(&e).await];
    let running = e.start().await;
    let states = async || {
        let mut states = Vec::new();
        for id in failed.iter().chain([&running]) {
            states.push(e.task_state(*id).await);
        }
        states
    };
    let before = states().await;

    assert_eq!(tasker(url, &["task", "cancel"]).await.code, Some(2), "a usage error");
    assert_eq!(tasker(url, &["task", "cancel", &running.to_string(), "--all"]).await.code, Some(2));
    let nothing = tasker(url, &["task", "cancel", "--all"]).await.failed();
    assert!(nothing.contains("no option says which tasks to cancel\nhint: "), "{nothing}");
    let counted = tasker(url, &["task", "cancel", "--namespace", "test"]).await.failed();
    assert!(
        counted.contains("3 tasks match; none was cancelled\nhint: add --all to cancel them"),
        "{counted}"
    );
    let dry = [
        "task",
        "retry",
        "--namespace",
        "test",
        "--error-code",
        "declined",
        "--created-after",
        "1h",
        "--dry-run",
    ];
    assert_eq!(tasker(url, &dry).await.ok(), "2 tasks would be retried\n");
    let none = ["task", "retry", "--namespace", "test", "--state", "complete", "--all"];
    assert!(
        tasker(url, &none).await.failed().contains("the states are: blocked_by_failures, error")
    );
    assert_eq!(states().await, before, "nothing has moved yet");

    let retry = ["task", "retry", "--namespace", "test", "--all", "--json", "--by", "ana"];
    assert_eq!(tasker(url, &retry).await.json(), json!({"matching": 2, "retried": 2}));
    assert!(audit(&e, failed[1]).await.contains("retried by ana"));
    let cancel = [
        "task",
        "cancel",
        "--name",
        "flow",
        "--state",
        "waiting_for_dependencies,pending",
        "--all",
    ];
    assert_eq!(tasker(url, &cancel).await.ok(), "cancelled 2 tasks\n");
    assert_eq!(tasker(url, &cancel).await.ok(), "cancelled 0 tasks\n");
    assert_eq!(states().await, ["cancelled", "cancelled", "steps_in_process"]);
    let old: Value =
        tasker(url, &["task", "cancel", "--created-before", "1h", "--all", "--json"]).await.json();
    assert_eq!(old, json!({"matching": 0, "cancelled": 0}));
}

/// What an answer cannot hold is said in its place, and all else is shown.
#[tokio::test]
async fn a_task_whose_results_are_more_than_an_answer_holds_is_shown_all_the_same() {
    let e = Engine::new().await;
    let names: Vec<String> = (0..18).map(|n| format!("s{n:02}")).collect();
    let steps: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &[] as &[&str])).collect();
    e.apply_flow(&steps).await;
    let id = e.start().await;
    for claim in e.claim(100).await {
        e.succeed(&claim, json!("x".repeat(1_000_000))).await;
    }
    e.process().await;
    let shown = tasker(&e.db.url, &["task", "show", &id.to_string()]).await.ok();
    assert!(shown.contains("complete") && shown.contains("task_results"), "{shown}");
    let shown = tasker(&e.db.url, &["task", "show", &id.to_string(), "--json"]).await.json();
    assert!(
        shown["result"]["$hidden"].as_str().unwrap().contains("16777216"),
        "{}",
        shown["result"]
    );
}
