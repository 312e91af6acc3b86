//! What is secret stays so: whatever is wrong with a password or a key, and however much is logged,
//! nobody reads it.

use crate::support::{Folder, Run, TWO_STEPS, command, run, start, stop, tasker};
use pgtasker_tests::{TestDb, eventually};
use std::time::Duration;
use tokio::process::Command;

const SECRET: &str = "hunter2secret";
const KEY: &str = "tk_hunter2secret";

fn program(folder: &Folder, url: &str, args: &[&str]) -> Command {
    let mut command = command(Some(url), &folder.0, args);
    command.env("RUST_LOG", "trace").env("TASKER_API_KEY", KEY).env("XDG_CONFIG_HOME", "/nowhere");
    command
}

fn kept(what: &str, run: &Run) {
    for (name, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        let line = text.lines().find(|line| line.contains("hunter2"));
        assert!(line.is_none(), "{what}: {name}: {line:?}");
    }
    assert!(!run.stderr.contains("panicked"), "{what}: {run:?}");
}

/// A URL of the test's server with a role that has this password.
async fn with_password(db: &TestDb) -> String {
    // Roles are the whole server's.
    let role = format!("app_{}", db.name());
    let sql = format!("create role {role} login superuser password '{SECRET}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&db.pool).await.unwrap();
    let (_, host) = db.url.split_once('@').unwrap();
    format!("postgres://{role}:{SECRET}@{host}")
}

#[tokio::test]
async fn a_url_that_is_wrong_in_any_way_shows_no_password() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let good = with_password(&db).await;
    let (_, host) = good.split_once('@').unwrap();
    for url in [
        good.replace("app_", "nobody_"),
        good.replace(SECRET, &format!("{SECRET}x")),
        good.replace(&format!("@{host}"), "@127.0.0.1:1/d"),
        format!("postgres://app:{SECRET}@{}/nowhere", host.split('/').next().unwrap()),
        format!("postgres://app:1/{SECRET}@{host}"),
        format!("postgres://app:1?{SECRET}@{host}"),
        format!("postgres://app:1#{SECRET}@{host}"),
        format!("postgres://app:{SECRET}@x@{host}"),
        format!("postgres://app:{SECRET}@[::1/d"),
        format!("postgres://app:{SECRET}@h:port/d"),
        format!("postgres://app:{SECRET}"),
        format!("app:{SECRET}@{host}"),
        format!("host=h password={SECRET}"),
        format!("mysql://app:{SECRET}@{host}"),
        format!("{good}?passwort={SECRET}"),
        format!("{good}?sslmode=sometimes&password={SECRET}"),
        format!("{good}?sslmode=require"),
    ] {
        for args in [&["task", "list"][..], &["migrate"]] {
            let end = run(program(&folder, &url, args)).await;
            kept(&format!("{args:?} {url}"), &end);
            end.failed();
        }
        let shown = run(program(&folder, &url, &["config", "show"])).await;
        kept(&url, &shown);
        assert!(shown.ok().contains("***"), "{url}");
    }
    let services = [&["orchestrator"][..], &["worker", "--namespace", "a"], &["up"]];
    for args in services {
        let end = run(program(&folder, &good.replace(SECRET, &format!("{SECRET}x")), args)).await;
        kept(&format!("{args:?}"), &end);
        end.failed();
    }
}

#[tokio::test]
async fn mistakes_on_the_command_line_and_in_the_file_show_no_secret() {
    let folder = Folder::new();
    let url = format!("postgres://app:{SECRET}@h/d");
    for args in [
        &["task", "list", &url][..],
        &["task", "lst", "--database-url", &url],
        &["task", "list", "--databse-url", &url],
        &["task", "list", "--api-key", KEY, "--nothing"],
        &["worker", "--database-url", &url],
        &["task", "show", &url],
    ] {
        let end = run(program(&folder, "", args)).await;
        kept(&format!("{args:?}"), &end);
        assert_ne!(end.code, Some(0));
    }
    for text in [
        format!("[database]\nurl = \"{url}\nx = 1\n"),
        format!("[database]\nurl = [\"{url}\"]\n"),
        format!("[database]\nulr = \"{url}\"\n"),
        format!("api_key = \"{KEY}\"\nx = 1\n"),
        format!("[profiles.p]\napi_kye = \"{KEY}\"\n"),
        format!("[profiles.p]\napi_key = \"{KEY}\"\napi = 1\n"),
    ] {
        folder.write("tasker.toml", &text);
        let end = run(program(&folder, "", &["config", "show"])).await;
        kept(&text, &end);
        end.failed();
    }
}

#[tokio::test]
async fn what_works_logs_no_secret_either() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let url = with_password(&db).await;
    let template = folder.write("two.yaml", TWO_STEPS);
    tasker(&url, &["template", "apply", &template]).await.ok();
    let services = [
        &["orchestrator"][..],
        &["worker", "--namespace", "shop", "--log", "json"],
        &["up", "--json"],
        &["up", "--no-worker"],
    ]
    .map(|args| start(program(&folder, &url, args)));
    let end = run(program(&folder, &url, &["task", "enqueue", "shop.order", "--wait"])).await;
    kept("enqueue", &end);
    let task = end.ok();
    assert!(task.contains("complete"), "{task}");
    // Three orchestrators and two workers, all of them past their start: who loses its connection
    // there ends with an error.
    eventually("all to listen", Duration::from_secs(60), async || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() \
            and usename like 'app%' and query like 'LISTEN%'";
        let listen = sqlx::query_scalar::<_, i64>(sql).fetch_one(&db.pool).await.unwrap();
        if listen == 5 { Ok(()) } else { Err(listen) }
    })
    .await;
    // A broken connection is logged too.
    eventually("a connection to be broken", Duration::from_secs(20), async || {
        let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = \
            current_database() and pid <> pg_backend_pid() and usename like 'app%'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&db.pool).await.unwrap() > 0
    })
    .await;
    let end = run(program(&folder, &url, &["task", "enqueue", "shop.order", "--wait"])).await;
    kept("enqueue", &end);
    end.ok();
    let mut logs = String::new();
    for service in services {
        let end = stop(service).await;
        kept("a service", &end);
        assert_eq!(end.code, Some(0), "{end:?}");
        logs.push_str(&end.stderr);
    }
    assert!(logs.contains("DEBUG"), "nothing was logged beyond the usual: {logs}");
}
