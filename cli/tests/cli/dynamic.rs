//! Decisions and batches, as the program shows them and as operators settle them.

use crate::support::{Folder, tasker};
use pgtasker_tests::engine::{Claim, Engine};
use serde_json::{Value, json};
use uuid::Uuid;

/// The engine driven by hand, with a template `test.flow` of these steps.
async fn engine(steps: Value) -> Engine {
    let e = Engine::new().await;
    e.apply(json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})).await;
    e
}

fn step(name: &str, step_type: &str, parents: &[&str]) -> Value {
    json!({
        "name": name,
        "type": step_type,
        "dependencies": parents,
        "handler": {"callable": "noop"},
    })
}

/// A decision between two steps, and what follows from either.
fn routing() -> Value {
    json!([
        step("route", "decision", &[]),
        step("auto", "standard", &["route"]),
        step("manager", "standard", &["route"]),
        step("finalize", "deferred", &["auto", "manager"]),
    ])
}

/// A batch whose other instances go on when one has failed.
fn counting() -> Value {
    let mut count = step("count", "batch_worker", &["cut"]);
    count["failure_strategy"] = json!("continue_on_failure");
    json!([step("cut", "batchable", &[]), count, step("total", "standard", &["count"])])
}

async fn submit(e: &Engine, claim: &Claim, outcome: Value) {
    assert_eq!(e.submit(claim, outcome).await, "accepted");
    e.process().await;
}

async fn fail(e: &Engine, claim: &Claim) {
    let outcome = json!({"type": "failure", "message": "no such row", "retryable": false});
    submit(e, claim, outcome).await;
}

/// A task of [`counting`] whose batch has this many instances of a hundred items each.
async fn started_batch(e: &Engine, instances: i64) -> Uuid {
    let id = e.start().await;
    let cursors: Vec<Value> =
        (0..instances).map(|n| json!({"start": n * 100, "end": (n + 1) * 100})).collect();
    submit(e, &e.claim(1).await[0], json!({"type": "batches", "cursors": cursors})).await;
    id
}

/// What `task show` prints, without the head.
async fn shown(e: &Engine, id: Uuid, more: &[&str]) -> String {
    let id = id.to_string();
    let args: Vec<&str> = ["task", "show", &id].iter().chain(more).copied().collect();
    tasker(&e.db.url, &args).await.ok().split_once("\n\n").unwrap().1.to_owned()
}

/// The line that begins with this name, its cells one space apart.
fn line<'a>(text: &'a str, name: &str) -> Option<String> {
    let branches = [' ', '├', '└'];
    let first = |line: &'a str| line.trim_start_matches(branches).split(' ').next();
    text.lines()
        .find(|line| first(line) == Some(name))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn what_a_decision_has_not_chosen_is_shown_as_not_there() {
    let e = engine(routing()).await;
    let id = e.start().await;
    let before = shown(&e, id, &[]).await;
    for name in ["auto", "manager", "finalize"] {
        assert!(line(&before, name).unwrap().contains(" undecided "), "{before}");
    }
    let route = e.claim(1).await.remove(0);
    submit(&e, &route, json!({"type": "decision", "create_steps": ["manager"]})).await;
    let after = shown(&e, id, &[]).await;
    assert_eq!(line(&after, "auto").unwrap(), "└ auto not chosen route", "{after}");
    assert_eq!(
        line(&after, "manager").unwrap(),
        "├ manager enqueued route no live worker has the handler noop",
        "{after}"
    );
    assert_eq!(line(&after, "finalize").unwrap(), "└ finalize pending auto, manager", "{after}");
    let json = tasker(&e.db.url, &["task", "show", &id.to_string(), "--json"]).await.json();
    let auto = json["dag"].as_array().unwrap().iter().find(|node| node["step"] == "auto").unwrap();
    assert_eq!(
        (&auto["presence"], &auto["state"], &auto["level"]),
        (&json!("not_chosen"), &Value::Null, &json!(1))
    );
    assert_eq!(json["steps"][0]["type"], "decision");
}

#[tokio::test]
async fn a_batch_is_shown_in_one_line_with_its_failures_and_in_full_when_asked() {
    let e = engine(counting()).await;
    let id = started_batch(&e, 12).await;
    let claims = e.claim(4).await;
    submit(&e, &claims[0], json!({"type": "success", "result": 1})).await;
    fail(&e, &claims[1]).await;
    let checkpoint =
        json!({"type": "checkpoint", "cursor": 250, "items_processed": 50, "accumulated": 7});
    submit(&e, &claims[2], checkpoint).await;

    let text = shown(&e, id, &[]).await;
    let batch = text.lines().find(|line| line.starts_with("└ count ×12 ")).unwrap();
    assert!(
        batch.contains("1 complete, 1 failed, 1 running, 9 waiting  150 of 1,200  12 %"),
        "{text}"
    );
    let failed = line(&text, "count_002").unwrap();
    assert!(failed.starts_with("count_002 error 1/3") && failed.ends_with("no such row"), "{text}");
    assert_eq!(line(&text, "count_001"), None, "{text}");
    assert_eq!(line(&text, "total").unwrap(), "└ total pending count", "{text}");

    let all = shown(&e, id, &["--instances"]).await;
    assert!(line(&all, "count_001").unwrap().starts_with("count_001 complete"), "{all}");
    assert!(line(&all, "count_003").unwrap().contains(" 50 items"), "{all}");
    assert!(line(&all, "count_012").unwrap().starts_with("count_012 "), "{all}");

    let json = async |more: &[&str]| {
        let id = id.to_string();
        let args: Vec<&str> = ["task", "show", &id, "--json"].iter().chain(more).copied().collect();
        tasker(&e.db.url, &args).await.json()
    };
    let few = json(&[]).await;
    let batch = &few["batches"][0];
    assert_eq!((&batch["items_done"], &batch["items_total"]), (&json!(150), &json!(1_200)));
    assert_eq!((&batch["step"], &batch["batchable"]), (&json!("count"), &json!("cut")));
    assert_eq!(few["steps"].as_array().unwrap().len(), 3, "cut, total, and what failed");
    let full = json(&["--instances"]).await;
    assert_eq!(full["steps"].as_array().unwrap().len(), 14);
    let third =
        full["steps"].as_array().unwrap().iter().find(|step| step["step"] == "count_003").unwrap();
    assert_eq!((&third["instance"], &third["inputs"]["start"]), (&json!(3), &json!(200)));
    assert_eq!(third["checkpoint"]["accumulated"], 7);
}

#[tokio::test]
async fn a_small_batch_is_shown_with_its_instances_and_an_empty_one_says_so() {
    let e = engine(counting()).await;
    let small = started_batch(&e, 2).await;
    let text = shown(&e, small, &[]).await;
    assert!(line(&text, "count_001").is_some() && line(&text, "count_002").is_some(), "{text}");
    e.claim(10).await;
    let empty = started_batch(&e, 0).await;
    let text = shown(&e, empty, &[]).await;
    assert!(text.contains("no instances"), "{text}");
    assert_eq!(
        line(&text, "total").unwrap(),
        "└ total enqueued count no live worker has the handler noop",
        "{text}"
    );
}

#[tokio::test]
async fn a_decision_is_settled_by_hand_with_its_outcome() {
    let e = engine(routing()).await;
    let id = e.start().await;
    fail(&e, &e.claim(1).await[0]).await;
    let task = id.to_string();
    let resolve = ["task", "resolve", &task, "--step", "route"];
    let refused = tasker(&e.db.url, &resolve).await.failed();
    assert!(refused.contains("(TK035)\nhint: ") && refused.contains("--outcome"), "{refused}");
    let with = async |outcome: &str| {
        tasker(&e.db.url, &[&resolve[..], &["--outcome", outcome, "--by", "ana"]].concat()).await
    };
    let refused = with("{x").await.failed();
    assert!(refused.contains("the outcome is not JSON"), "{refused}");
    assert!(
        refused.contains(
            r#"hint: --outcome takes JSON such as '{"type": "decision", "create_steps": ["ship"]}'"#
        ),
        "{refused}"
    );
    let unknown = with("{\"type\": \"decision\", \"create_steps\": [\"nobody\"]}").await.failed();
    assert!(unknown.contains("nobody"), "{unknown}");
    let resolved = with("{\"type\": \"decision\", \"create_steps\": [\"auto\"]}").await.ok();
    assert!(resolved.starts_with("resolved: "), "{resolved}");
    assert!(line(&shown(&e, id, &[]).await, "manager").unwrap().contains(" not chosen "));
    let alone = ["task", "resolve", &task, "--outcome", "{}"];
    assert_eq!(tasker(&e.db.url, &alone).await.code, Some(2), "an outcome is a step's");
}

/// A standard step one of whose parents may not exist.
const HALF: &str = "\
namespace: shop
name: half
version: '1.0.0'
steps:
  - { name: route, type: decision, handler: { callable: noop } }
  - { name: auto, dependencies: [route], handler: { callable: noop } }
  - { name: manager, dependencies: [route], handler: { callable: noop } }
  - name: finalize
    dependencies: [auto, manager]
    handler: { callable: noop }
";

#[tokio::test]
async fn what_is_valid_but_probably_not_meant_is_a_warning() {
    let (e, folder) = (Engine::new().await, Folder::new());
    let file = folder.write("half.yaml", HALF);
    let is_warned = |stderr: &str| {
        let begins = |line: &str| {
            line.contains("half.yaml:9:") && line.contains(": warning: ") && line.ends_with(']')
        };
        stderr.lines().any(begins)
    };
    for action in ["validate", "apply"] {
        let checked = tasker(&e.db.url, &["template", action, &file]).await;
        assert!(is_warned(&checked.stderr), "{checked:?}");
        assert!(checked.ok().contains("shop.half 1.0.0"));
    }
    let checked = tasker(&e.db.url, &["template", "validate", &file, "--json"]).await.json();
    assert_eq!(checked["problems"], json!([]));
    assert_eq!(checked["warnings"][0]["line"], 9, "{checked}");
    let applied = tasker(&e.db.url, &["template", "apply", &file, "--json"]).await.json();
    assert_eq!(applied[0]["warnings"], checked["warnings"]);
}
