//! What reaches a terminal, whose files are believed, and the API that nobody opened.

use crate::support::{Folder, command, run, start, stop, until_printed};
use pgtasker_tests::{TestDb, engine::Engine};
use std::{fs, os::unix::fs::PermissionsExt};

const SLY: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}";

#[tokio::test]
async fn no_stored_text_steers_the_terminal() {
    let (e, folder) = (Engine::new().await, Folder::new());
    e.apply_flow(&[("a", &[])]).await;
    let task: uuid::Uuid = sqlx::query_scalar(
        "select tasker.enqueue_task('test', 'flow', jsonb_build_object('x', $1), \
         p_idempotency_key => $1)",
    )
    .bind(SLY)
    .fetch_one(e.pool())
    .await
    .unwrap();
    e.initialize().await;
    let claim = &e.claim(1).await[0];
    let outcome = serde_json::json!({"type": "failure", "message": SLY, "retryable": false});
    e.submit(claim, outcome).await;
    e.process().await;
    let entry: uuid::Uuid = sqlx::query_scalar("select tasker.add_dead_letter($1)")
        .bind(task)
        .fetch_one(e.pool())
        .await
        .unwrap();
    sqlx::query("update tasker.dead_letters set notes = $1, detail = $1")
        .bind(SLY)
        .execute(e.pool())
        .await
        .unwrap();
    let (task, entry) = (task.to_string(), entry.to_string());
    for args in [
        vec!["task", "list"],
        vec!["task", "show", &task, "--audit"],
        vec!["task", "show", &task, "--json"],
        vec!["task", "watch", &task],
        vec!["step", "show", &task, "a"],
        vec!["step", "list", &task],
        vec!["dead-letter", "list"],
        vec!["dead-letter", "show", &entry],
        vec!["dead-letter", "show", &entry, "--json"],
        vec!["top", "--once"],
    ] {
        let shown = run(command(Some(&e.db.url), &folder.0, &args)).await;
        for text in [&shown.stdout, &shown.stderr] {
            assert!(
                !text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']),
                "{args:?}: {text:?}"
            );
        }
    }
    let shown = run(command(Some(&e.db.url), &folder.0, &["task", "show", &task])).await.ok();
    assert!(shown.contains("\\u001b[2J\\u001b]0;owned\\u0007\\u202e"), "{shown}");
}

#[tokio::test]
async fn a_file_that_others_may_write_says_nothing_and_no_key_goes_where_it_says() {
    let folder = Folder::new();
    let here = |args: &[&str], key: Option<&str>| {
        let mut command = command(None, &folder.0, args);
        command.envs(key.map(|key| ("TASKER_API_KEY", key)));
        run(command)
    };
    let file = folder.write("tasker.toml", "api = \"http://127.0.0.1:9\"\n");
    let told = here(&["task", "list"], Some("tk_mine")).await.failed();
    assert!(told.contains("in one place") && !told.contains("tk_mine"), "{told}");
    assert!(!here(&["task", "list"], None).await.failed().contains("in one place"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let told = here(&["task", "list"], None).await.failed();
    assert!(told.contains("everybody may write") && told.contains("chmod o-w"), "{told}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(folder.0.join(".tasker")).unwrap();
    fs::set_permissions(folder.0.join(".tasker"), fs::Permissions::from_mode(0o777)).unwrap();
    let told = here(&["up"], None).await.failed();
    assert!(told.contains("everybody may write .tasker"), "{told}");
}

#[tokio::test]
async fn an_orchestrator_that_nobody_gave_keys_runs_without_its_api() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let args = ["orchestrator", "--json", "--http", "127.0.0.1:0"];
    let mut orchestrator = start(command(Some(&db.url), &folder.0, &args));
    let document = until_printed(&mut orchestrator, "}").await;
    assert!(document.contains("\"api\": null"), "{document}");
    let end = stop(orchestrator).await;
    assert!(end.code == Some(0) && end.stderr.contains("the HTTP API is off"), "{end:?}");
    assert!(end.stderr.contains("is a superuser"), "{end:?}");
}

#[tokio::test]
async fn up_keeps_a_key_that_commands_in_its_folder_bring() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let args = ["up", "--json", "--no-worker", "--http", "127.0.0.1:0"];
    let mut up = start(command(Some(&db.url), &folder.0, &args));
    let document = until_printed(&mut up, "\n}\n").await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let api = document["api"].as_str().unwrap();
    let listed = run(command(None, &folder.0, &["--api", api, "task", "list"])).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let elsewhere = Folder::new();
    let refused = run(command(None, &elsewhere.0, &["--api", api, "task", "list"])).await.failed();
    assert!(refused.contains("key"), "{refused}");
    let mode = fs::metadata(folder.0.join(".tasker/api.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads the key");
    assert_eq!(stop(up).await.code, Some(0));
}
