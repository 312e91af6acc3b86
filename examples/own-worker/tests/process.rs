//! The example as a process: what `serve` gives a worker of one's own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_tests::{TestDb, eventually};
use serde_json::json;
use std::{net::TcpListener, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

const SOON: Duration = Duration::from_secs(30);

fn worker(variables: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pgtasker-own-worker"))
        .env_remove("DATABASE_URL")
        .envs(variables.iter().copied())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ended(mut worker: Child) -> (bool, String) {
    let mut log = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
    (worker.wait().await.unwrap().success(), log)
}

async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_terminated_worker_gives_its_steps_back_and_has_told_what_it_did() {
    let db = TestDb::new().await;
    let nap = json!({
        "namespace": "shop",
        "name": "nap",
        "version": "1",
        "steps": [{
            "name": "nap",
            "handler": {"callable": "sleep", "config": {"ms": 3_600_000}},
            "timeout_seconds": 7_200,
        }],
    });
    sqlx::query("select * from tasker.apply_template($1)")
        .bind(nap)
        .execute(&db.pool)
        .await
        .unwrap();
    sqlx::query("select tasker.enqueue_task('shop', 'nap')").execute(&db.pool).await.unwrap();
    sqlx::query("select tasker.start_tasks(1)").execute(&db.pool).await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let worker = worker(&[
        ("DATABASE_URL", &db.url),
        ("TASKER_WORKER_METRICS", &free),
        ("TASKER_WORKER_GRACE", "100ms"),
        ("TASKER_LOG_FORMAT", "json"),
    ]);
    let state = async || -> (String, i32) {
        let sql = "select state::text, attempt from tasker.steps";
        sqlx::query_as(sql).fetch_one(&db.pool).await.unwrap()
    };
    eventually("the step to be claimed", SOON, async || {
        let seen = state().await;
        if seen.0 == "in_progress" { Ok(()) } else { Err(seen) }
    })
    .await;
    eventually("the worker to be healthy", SOON, async || match get(&free, "/health").await {
        Ok(answer) if answer.contains("\"healthy\":true") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(get(&free, "/metrics").await.unwrap().contains("tasker_healthy 1"));

    let pid = worker.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let (success, log) = ended(worker).await;
    assert!(success, "{log}");
    assert!(log.contains("the worker starts") && log.contains("the worker has stopped"), "{log}");
    assert_eq!(state().await, ("enqueued".to_owned(), 0), "given back, attempt not counted");
}

#[tokio::test]
async fn what_is_wrong_with_a_variable_is_said_with_its_name() {
    for (name, value, said) in [
        ("TASKER_WORKER_CONCURRENCY", "lots", "\"lots\" is not a whole number from 1 to 10000"),
        ("TASKER_WORKER_LEASE", "soon", "write it as 500ms, 30s"),
        ("TASKER_LOG_FORMAT", "xml", "neither json nor human"),
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
    ] {
        let db = TestDb::new().await;
        let (success, log) = ended(worker(&[("DATABASE_URL", &db.url), (name, value)])).await;
        assert!(!success && log.contains(name) && log.contains(said), "{log}");
    }
}
