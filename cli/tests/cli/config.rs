//! Configuration as processes see it.

use crate::support::{Folder, Run, TWO_STEPS, command, run, start, stop, tasker};
use pgtasker_tests::{TestDb, eventually};
use serde_json::{Value, json};
use std::{
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    time::Duration,
};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(30);

/// The program in `folder`, where neither the user's own file nor variables reach it.
fn program(folder: &Folder, args: &[&str]) -> Command {
    let mut command = command(None, &folder.0, args);
    command.env("XDG_CONFIG_HOME", folder.0.join("home")).env_remove("TASKER_CONFIG");
    command
}

async fn shown(folder: &Folder, variables: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = program(folder, args);
    command.envs(variables.iter().copied());
    run(command).await
}

fn setting<'a>(shown: &'a Value, key: &str) -> (&'a Value, &'a str) {
    let all = shown["settings"].as_array().unwrap();
    let one = all.iter().find(|setting| setting["key"] == key).unwrap();
    (&one["value"], one["source"].as_str().unwrap())
}

#[tokio::test]
async fn show_says_what_is_in_effect_and_where_it_comes_from() {
    let folder = Folder::new();
    folder.write(
        "tasker.toml",
        "api_key = \"hush\"\n[database]\nurl = \"postgres://me:hush@h/d\"\n[worker]\nlease \
         = \"1m\"\ngrace = \"5s\"\n",
    );
    let variables = [("TASKER_WORKER_GRACE", "6s"), ("TASKER_WORKER_NAMESPACE", "a,b")];
    let json =
        shown(&folder, &variables, &["config", "show", "--json", "--api", "http://flag"]).await;
    let json = json.json();
    assert_eq!(json["file"], "tasker.toml");
    for (key, value, source) in [
        ("database.url", json!("postgres://me:***@h/d"), "tasker.toml:3"),
        ("api", json!("http://flag"), "--api"),
        ("api_key", json!("***"), "tasker.toml:1"),
        ("worker.lease", json!("1m"), "tasker.toml:5"),
        ("worker.grace", json!("6s"), "TASKER_WORKER_GRACE"),
        ("worker.namespace", json!("a,b"), "TASKER_WORKER_NAMESPACE"),
        ("worker.concurrency", json!("64"), "default"),
        ("worker.metrics", json!(null), "default"),
    ] {
        assert_eq!(setting(&json, key), (&value, source), "{key}");
    }
    let text =
        shown(&folder, &[("DATABASE_URL", "postgres://me:hush@variable/d")], &["config", "show"])
            .await
            .ok();
    assert!(text.contains("configuration file: tasker.toml"), "{text}");
    let url = text.lines().find(|line| line.starts_with("database.url")).unwrap();
    assert!(url.contains("postgres://me:***@variable/d") && url.ends_with("DATABASE_URL"), "{url}");
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test]
async fn show_has_every_flag_and_says_what_is_not_used() {
    let folder = Folder::new();
    let jwks = "https://me:hush@h/jwks?access_token=hush&v=1";
    folder
        .write("tasker.toml", &format!("api = \"https://me:hush@h\"\n[http]\njwks = \"{jwks}\"\n"));
    let flags = [
        "--api-ca",
        "ca.pem",
        "--api-plain-http",
        "--database-url",
        "postgres://me:hush@h/d?sslkey=k",
    ];
    let all = shown(&folder, &[], &[&["config", "show", "--json"][..], &flags].concat()).await;
    let json = all.json();
    let unused = "tasker.toml:1, not used: the database takes precedence";
    for (key, value, source) in [
        ("api_ca", json!("ca.pem"), "--api-ca"),
        ("api_plain_http", json!("true"), "--api-plain-http"),
        ("api", json!("https://me:***@h"), unused),
        ("database.url", json!("postgres://me:***@h/d?sslkey=k"), "--database-url"),
        ("http.jwks", json!("https://me:***@h/jwks?access_token=***&v=1"), "tasker.toml:3"),
    ] {
        assert_eq!(setting(&json, key), (&value, source), "{key}");
    }
    // The help shows the values of the file as defaults.
    for command in ["orchestrator", "task"] {
        let help =
            shown(&folder, &[("TASKER_HTTP_LISTEN", "off")], &[command, "--help"]).await.ok();
        assert!(help.contains("--api") && !help.contains("hush"), "{help}");
    }
}

#[tokio::test]
async fn a_variable_that_is_no_text_is_not_left_out() {
    let folder = Folder::new();
    for name in ["DATABASE_URL", "TASKER_API_KEY"] {
        let mut command = program(&folder, &["config", "show"]);
        command.env(name, std::ffi::OsStr::from_bytes(b"hush\xff"));
        let text = run(command).await.failed();
        assert!(text.contains(&format!("{name} is not UTF-8")) && !text.contains("hush"), "{text}");
    }
}

#[tokio::test]
async fn the_first_file_that_is_there_is_the_only_one() {
    let folder = Folder::new();
    let file = async |variables: &[(&str, &str)], args: &[&str]| {
        let all = [&["config", "show", "--json"], args].concat();
        shown(&folder, variables, &all).await.json()["file"].as_str().map(str::to_owned)
    };
    assert_eq!(file(&[], &[]).await, None);
    std::fs::create_dir_all(folder.0.join("home/tasker")).unwrap();
    let home = folder.write("home/tasker/config.toml", "");
    assert_eq!(file(&[], &[]).await, Some(home));
    folder.write("tasker.toml", "");
    assert_eq!(file(&[], &[]).await.as_deref(), Some("tasker.toml"));
    let named = folder.write("named.toml", "");
    assert_eq!(file(&[("TASKER_CONFIG", &named)], &[]).await.as_ref(), Some(&named));
    let other = folder.write("other.toml", "");
    assert_eq!(file(&[("TASKER_CONFIG", &named)], &["--config", &other]).await, Some(other));
}

#[tokio::test]
async fn what_is_wrong_is_said_once_and_what_is_risky_is_warned_of() {
    let folder = Folder::new();
    folder.write("tasker.toml", "[worker]\nconcurency = 5\n");
    let text = run(program(&folder, &["task", "list"])).await.failed();
    assert!(
        text.contains("tasker.toml:2: there is no setting worker.concurency: did you mean"),
        "{text}"
    );

    let path = folder.write("tasker.toml", "api_key = \"hush\"\n");
    let mode =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let open = run(program(&folder, &["config", "show"])).await;
    assert!(open.stderr.contains("everybody may read it: chmod 600 tasker.toml"), "{open:?}");
    mode(0o600);
    assert_eq!(run(program(&folder, &["config", "show"])).await.stderr, "");

    let typo = shown(&folder, &[("TASKER_WORKER_CONCURENCY", "5")], &["config", "show"]).await;
    let wanted =
        "TASKER_WORKER_CONCURENCY names no setting: did you mean TASKER_WORKER_CONCURRENCY?";
    assert!(typo.stderr.contains(wanted), "{typo:?}");
    typo.ok();
    let wrong = shown(&folder, &[("TASKER_WORKER_LEASE", "soon")], &["worker"]).await.failed();
    assert!(wrong.contains("TASKER_WORKER_LEASE: \"soon\" is not a duration"), "{wrong}");
    let none = shown(&folder, &[("TASKER_WORKER_LEASE", "")], &["config", "show"]).await;
    assert_eq!(none.stderr, "");
}

#[tokio::test]
async fn services_run_by_the_file_and_variables_alone() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let template = folder.write("two.yaml", TWO_STEPS);
    tasker(&db.url, &["template", "apply", &template]).await.ok();
    folder.write(
        "tasker.toml",
        &format!(
            "[database]\nurl = \"{}\"\npoll_only = true\npoll_interval = \"20ms\"\n\
             [worker]\nnamespace = [\"shop\"]\nconcurrency = 3\n[log]\nformat = \"json\"\n",
            db.url
        ),
    );
    let orchestrator = start(program(&folder, &["orchestrator"]));
    let mut worker = program(&folder, &["worker"]);
    worker.env("TASKER_WORKER_CONCURRENCY", "2").env("TASKER_DATABASE_POLL_ONLY", "yes");
    let worker = start(worker);
    let done = run(program(&folder, &["task", "enqueue", "shop.order", "--wait"])).await.ok();
    assert!(done.contains("complete"), "{done}");
    eventually("the worker to say what it runs with", SOON, async || {
        let sql = "select info from tasker.workers";
        let info: Option<Value> = sqlx::query_scalar(sql).fetch_optional(&db.pool).await.unwrap();
        match info {
            Some(info) if info["concurrency"] == 2 && info["push"] == false => Ok(()),
            other => Err(other),
        }
    })
    .await;
    for process in [orchestrator, worker] {
        let end = stop(process).await;
        assert_eq!(end.code, Some(0), "{end:?}");
        let line: Value = serde_json::from_str(end.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(line["level"], "INFO");
    }
}
