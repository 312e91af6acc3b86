//! The program against a database, as a shell sees it: exit codes, standard output, standard error.

use crate::support::{FAILING, Folder, TWO_STEPS, command, run, start, stop, tasker};
use pgtasker_tests::TestDb;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::process::Stdio;

/// A database with both templates.
async fn shop() -> TestDb {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let files = [folder.write("order.yaml", TWO_STEPS), folder.write("failing.yaml", FAILING)];
    tasker(&db.url, &["template", "apply", &files[0], &files[1]]).await.ok();
    db
}

#[tokio::test]
async fn an_empty_database_is_migrated_once() {
    let db = TestDb::new().await;
    let empty = format!("{}_empty", db.name());
    let create = format!("create database {empty} template template0");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&db.pool).await.unwrap();
    let url = db.url.replace(db.name(), &empty);

    assert!(tasker(&url, &["queue", "list"]).await.failed().contains("run `tasker migrate`"));
    let first = tasker(&url, &["migrate"]).await.ok();
    assert!(first.contains("created queue orchestration_task_requests"), "{first}");
    assert!(first.contains("applied migration 0001_settings_and_namespaces"), "{first}");
    let second = tasker(&url, &["migrate", "--json"]).await.json();
    assert_eq!((&second["migrations"], &second["objects"]), (&json!([]), &json!(0)));
    let queues = tasker(&url, &["queue", "list", "--json"]).await.json();
    assert_eq!(queues.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_script_for_a_dba_needs_no_database_and_names_pgmq() {
    let script = run(command(None, &std::env::temp_dir(), &["migrate", "--print"])).await.ok();
    assert!(script.contains("create extension pgmq"), "{}", &script[..1000]);
    assert!(script.contains("create table tasker.tasks"));
}

#[tokio::test]
async fn problems_of_a_template_have_positions_and_nothing_is_applied() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let good = folder.write("good.yaml", TWO_STEPS);
    let bad = folder
        .write("bad.yaml", &TWO_STEPS.replace("[first]", "[frist]").replace("version", "versoin"));
    let broken = folder.write("broken.yaml", "steps: [\n");

    let checked = tasker(&db.url, &["template", "validate", &good, &bad, &broken]).await;
    assert!(checked.stdout.contains("good.yaml: shop.order 1.0.0 is valid"), "{checked:?}");
    assert!(checked.stdout.contains("bad.yaml:3:1: unknown key \"versoin\""), "{checked:?}");
    assert!(checked.stdout.contains("bad.yaml:9:20: there is no step \"frist\""), "{checked:?}");
    assert!(checked.stdout.contains("[yaml_syntax]"), "{checked:?}");
    assert!(checked.failed().contains("problems in 2 files"));

    let refused = tasker(&db.url, &["template", "apply", &good, &bad]).await.failed();
    assert!(
        refused.contains("bad.yaml:9:20: ") && refused.contains("nothing was applied"),
        "{refused}"
    );
    assert_eq!(tasker(&db.url, &["template", "list", "--json"]).await.json(), json!([]));

    let problems = tasker(&db.url, &["template", "validate", "--json", &bad]).await;
    let problems: Value = serde_json::from_str(&problems.stdout).unwrap();
    let found = problems["problems"].as_array().unwrap();
    assert!(found.iter().any(|p| p["line"] == 9 && p["column"] == 20), "{problems}");
}

#[tokio::test]
async fn a_folder_is_applied_by_version_and_a_version_comes_back() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let version = |version: &str| TWO_STEPS.replace("1.0.0", version);
    let newer = folder.write("a.yaml", &version("1.10.0"));
    let older = folder.write("b.yml", &version("1.9.0"));
    let both = std::path::Path::new(&newer).parent().unwrap().to_string_lossy().into_owned();
    let applied = tasker(&db.url, &["template", "apply", &both]).await.ok();
    assert_eq!(
        applied,
        "applied shop.order 1.9.0\napplied shop.order 1.10.0, current now (was 1.9.0)\n"
    );
    let again = tasker(&db.url, &["template", "apply", &older]).await.ok();
    assert_eq!(again, "current again: shop.order 1.9.0 (was 1.10.0)\n");
    let used = tasker(&db.url, &["template", "use", "shop.order", "1.10.0"]).await.ok();
    assert_eq!(used, "current again: shop.order 1.10.0 (was 1.9.0)\n");
    let used = tasker(&db.url, &["template", "use", "shop", "order", "1.10.0"]).await.ok();
    assert_eq!(used, "unchanged, current before: shop.order 1.10.0\n");
    let refused = tasker(&db.url, &["template", "use", "shop.order", "2"]).await.failed();
    assert!(refused.contains("(TK003)"), "{refused}");
}

#[tokio::test]
async fn a_template_is_applied_once_and_its_version_never_changes() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let file = folder.write("order.yaml", TWO_STEPS);
    let applied = tasker(&db.url, &["template", "apply", &file, "--json"]).await.json();
    assert_eq!((&applied[0]["name"], &applied[0]["created"]), (&json!("order"), &json!(true)));
    assert!(tasker(&db.url, &["template", "apply", &file]).await.ok().contains("unchanged"));
    let other = folder.write("other.yaml", &TWO_STEPS.replace("ms: 5", "ms: 6"));
    let refused = tasker(&db.url, &["template", "apply", &other]).await.failed();
    assert!(refused.contains("(TK011)") && refused.contains("\nhint: "), "{refused}");

    let list = tasker(&db.url, &["template", "list"]).await.ok();
    assert!(list.contains("shop.order  1.0.0    yes"), "{list}");
    let shown = tasker(&db.url, &["template", "show", "shop.order"]).await.ok();
    assert!(shown.contains("second  sleep    first"), "{shown}");
    let definition = tasker(&db.url, &["template", "show", "shop.order", "--json"]).await.json();
    assert_eq!(definition["definition"]["steps"][1]["name"], "second");
    assert!(
        tasker(&db.url, &["template", "show", "shop.none"]).await.failed().contains("shop.none")
    );
}

#[tokio::test]
async fn a_refused_task_says_why_and_what_to_do() {
    let db = shop().await;
    let refused = async |args: &[&str]| {
        let all: Vec<&str> = ["task", "enqueue"].iter().chain(args).copied().collect();
        tasker(&db.url, &all).await.failed()
    };
    assert!(refused(&["nowhere.order"]).await.contains("(TK001)\nhint: "));
    assert!(refused(&["shop.none"]).await.contains("(TK002)\nhint: "));
    assert!(refused(&["shop.order", "--version", "9"]).await.contains("(TK003)\nhint: "));
    assert!(refused(&["shop.order", "--context", "[1]"]).await.contains("(TK005)\nhint: "));
    assert!(
        refused(&["shop.order", "--context", "{x"])
            .await
            .contains("not JSON: key must be a string at line 1")
    );
    let unknown = uuid::Uuid::nil().to_string();
    for action in ["show", "watch", "cancel"] {
        assert!(
            tasker(&db.url, &["task", action, &unknown]).await.failed().contains("(TK004)"),
            "{action}"
        );
    }
    assert_eq!(tasker(&db.url, &["task", "list", "--json"]).await.json(), json!([]));
    assert_eq!(tasker(&db.url, &["task", "show", "x"]).await.code, Some(2), "a usage error");
}

#[tokio::test]
async fn numbers_keep_their_digits_from_the_command_line_and_yaml_to_the_database_and_back() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let digits = "123456789012345678901234567890.12345678901234567890";
    let config = format!("{{ ms: 5, n: {digits} }}");
    let file = folder.write("order.yaml", &TWO_STEPS.replace("{ ms: 5 }", &config));
    tasker(&db.url, &["template", "apply", &file]).await.ok();
    let context = format!("{{\"n\": {digits}}}");
    let id = tasker(&db.url, &["task", "enqueue", "shop.order", "--context", &context]).await.ok();
    let stored: String =
        sqlx::query_scalar("select context ->> 'n' from tasker.tasks where task_id::text = $1")
            .bind(id.trim())
            .fetch_one(&db.pool)
            .await
            .unwrap();
    assert_eq!(stored, digits);
    let shown = tasker(&db.url, &["template", "show", "shop.order", "--json"]).await.json();
    assert_eq!(shown["definition"]["steps"][1]["handler"]["config"]["n"].to_string(), digits);
}

#[tokio::test]
async fn a_context_comes_from_a_file_and_a_key_gives_the_same_task() {
    let (db, folder) = (shop().await, Folder::new());
    let from = format!("@{}", folder.write("context.json", "{\"order_id\": 7}"));
    let args = [
        "task",
        "enqueue",
        "shop.order",
        "--context",
        &from,
        "--idempotency-key",
        "k",
        "--run-at",
        "1h",
    ];
    let first = tasker(&db.url, &args).await.ok();
    assert_eq!(first, tasker(&db.url, &args).await.ok());
    let shown = tasker(&db.url, &["task", "show", first.trim(), "--json"]).await.json();
    assert_eq!(shown["task"]["idempotency_key"], "k");
    assert!(shown["task"]["run_at"].is_string());
    let other = ["task", "enqueue", "shop.order", "--idempotency-key", "k"];
    assert!(tasker(&db.url, &other).await.failed().contains("(TK006)"));
}

#[tokio::test]
async fn tasks_run_on_separate_processes_and_their_end_is_the_exit_code() {
    let db = shop().await;
    let home = std::env::temp_dir();
    let orchestrator = start(command(Some(&db.url), &home, &["orchestrator", "--log", "json"]));
    let worker =
        start(command(Some(&db.url), &home, &["worker", "--namespace", "shop", "--poll-only"]));

    let args = [
        "task",
        "enqueue",
        "shop.order",
        "--context",
        "{\"order_id\": 7}",
        "--wait",
        "--timeout",
        "30s",
    ];
    let done = tasker(&db.url, &[&args[..], &["--json"]].concat()).await.json();
    assert_eq!(done["task"]["state"], "complete");
    assert!(done["result"]["second"]["slept_ms"].as_u64().unwrap() >= 5, "{done}");
    let shown = tasker(&db.url, &args).await.ok();
    assert!(
        shown.contains("STEP      STATE     ATTEMPT") && shown.contains("└ second  complete  1/3"),
        "{shown}"
    );

    let failed = tasker(&db.url, &["task", "enqueue", "shop.failing", "--wait"]).await;
    assert!(failed.stdout.contains("blocked_by_failures"), "{failed:?}");
    assert!(failed.failed().contains("call: host 127.0.0.1 is not allowed"));
    let unfit = tasker(
        &db.url,
        &["task", "enqueue", "shop.order", "--context", "{\"order_id\": \"x\"}", "--wait"],
    );
    assert!(unfit.await.failed().contains("/order_id"));

    let id = done["task"]["task_id"].as_str().unwrap();
    let audit = tasker(&db.url, &["task", "show", id, "--audit"]).await.ok();
    assert!(
        audit.contains("(task)  evaluating_results")
            && audit.contains("enqueued_for_orchestration"),
        "{audit}"
    );
    assert!(
        tasker(&db.url, &["task", "cancel", id])
            .await
            .failed()
            .contains("already finished: complete")
    );

    for process in [worker, orchestrator] {
        let end = stop(process).await;
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.stderr.contains("stopped") && !end.stderr.contains("panicked"), "{end:?}");
    }
}

#[tokio::test]
async fn a_waiting_task_is_given_up_and_cancelled() {
    let db = shop().await;
    let waited =
        tasker(&db.url, &["task", "enqueue", "shop.order", "--wait", "--timeout", "100ms"]).await;
    let id = waited.stdout.trim().to_owned();
    let error = waited.failed();
    assert!(
        error.contains("still pending after 100 ms") && error.contains(&format!("task watch {id}")),
        "{error}"
    );
    assert_eq!(
        tasker(&db.url, &["task", "cancel", &id, "--reason", "test"]).await.ok(),
        "cancelled\n"
    );
    assert_eq!(tasker(&db.url, &["task", "cancel", &id]).await.ok(), "cancelled before\n");
    assert!(tasker(&db.url, &["task", "watch", &id]).await.failed().contains("was cancelled"));
    let list = tasker(&db.url, &["task", "list", "--state", "cancelled", "--json"]).await.json();
    assert_eq!(list[0]["task_id"], id.as_str());
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_failure() {
    let mut child = command(None, &std::env::temp_dir(), &["migrate", "--print"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[tokio::test]
async fn without_a_database_the_error_says_where_one_could_come_from() {
    let folder = Folder::new();
    let none = run(command(None, &folder.0, &["task", "list"])).await.failed();
    assert!(none.contains("DATABASE_URL") && none.contains("tasker up"), "{none}");
    let dead = tasker("postgres://x:secret@127.0.0.1:1/y", &["task", "list"]).await.failed();
    assert!(
        dead.contains("cannot reach the database at 127.0.0.1:1/y: Connection refused"),
        "{dead}"
    );
    assert!(dead.contains("comes from DATABASE_URL") && !dead.contains("secret"), "{dead}");
    let wrong = tasker("nonsense", &["task", "list"]).await.failed();
    assert!(wrong.contains("expected postgres://"), "{wrong}");
}

#[tokio::test]
async fn a_dead_letter_is_added_shown_and_closed() {
    let db = shop().await;
    let id = tasker(&db.url, &["task", "enqueue", "shop.order"]).await.ok().trim().to_owned();
    assert!(
        tasker(&db.url, &["dead-letter", "list"]).await.stderr.contains("no pending dead letters")
    );
    let add = ["dead-letter", "add", &id, "--notes", "slow today", "--by", "ana"];
    let entry = tasker(&db.url, &add).await.ok().trim().to_owned();
    let list = tasker(&db.url, &["dead-letter", "list"]).await.ok();
    assert!(list.contains("manual") && list.contains(&entry) && list.contains(&id), "{list}");
    let shown = tasker(&db.url, &["dead-letter", "show", &entry]).await.ok();
    assert!(
        shown.contains("ana (login postgres): slow today") && shown.contains("snapshot\n{"),
        "{shown}"
    );
    assert!(
        tasker(&db.url, &["dead-letter", "retry", &entry])
            .await
            .failed()
            .contains("(TK042)\nhint: ")
    );

    let update = [
        "dead-letter",
        "update",
        &entry,
        "--status",
        "permanent_failure",
        "--notes",
        "lost",
        "--by",
        "ben",
        "--json",
    ];
    let closed = tasker(&db.url, &update).await.json();
    assert_eq!(
        (&closed["status"], &closed["resolved_by"]),
        (&json!("permanent_failure"), &json!("ben (login postgres)"))
    );
    assert_eq!(tasker(&db.url, &["dead-letter", "list", "--json"]).await.json(), json!([]));
    let all = tasker(&db.url, &["dead-letter", "list", "--all", "--reason", "manual", "--json"])
        .await
        .json();
    assert_eq!(all[0]["entry_id"], entry.as_str());
    assert!(
        tasker(&db.url, &["dead-letter", "counts"])
            .await
            .ok()
            .contains("manual  permanent_failure  1")
    );
    assert!(
        tasker(&db.url, &["dead-letter", "retry", &entry])
            .await
            .failed()
            .contains("(TK041)\nhint: ")
    );
    assert_eq!(
        tasker(&db.url, &["dead-letter", "update", &entry]).await.code,
        Some(2),
        "neither status nor notes"
    );
    let unknown = uuid::Uuid::nil().to_string();
    assert!(
        tasker(&db.url, &["dead-letter", "show", &unknown])
            .await
            .failed()
            .contains("(TK040)\nhint: ")
    );
}

#[tokio::test]
async fn pruning_goes_on_until_nothing_is_old_enough() {
    let db = shop().await;
    for _ in 0..3 {
        let id = tasker(&db.url, &["task", "enqueue", "shop.order"]).await.ok().trim().to_owned();
        tasker(&db.url, &["task", "cancel", &id]).await.ok();
    }
    assert_eq!(tasker(&db.url, &["prune"]).await.ok(), "removed 0 tasks, 0 dead letters\n");
    sqlx::query("select tasker.set_clock(null, interval '31 days')")
        .execute(&db.pool)
        .await
        .unwrap();
    let pruned = tasker(&db.url, &["prune", "--max", "2", "--json"]).await.json();
    assert_eq!(pruned, json!({"tasks": 3, "dead_letters": 0}));
}
