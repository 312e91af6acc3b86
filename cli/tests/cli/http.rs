//! The HTTP API of the program: where it listens, keys, and that none of them is ever told.

use crate::support::{Folder, command, run, start, stop, until_printed};
use pgtasker_tests::{TestDb, eventually};
use serde_json::Value;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SOON: Duration = Duration::from_secs(30);

/// The status and the text of an answer; none while nobody listens.
async fn get(address: &str, path: &str, key: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: \
         close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some((answer.split(' ').nth(1)?.parse().ok()?, answer))
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn an_orchestrator_serves_who_has_a_key_and_tells_it_nowhere() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let made = run(command(
        None,
        &folder.0,
        &["key", "new", "ci", "--permission", "system:read,tasks:read", "--json"],
    ));
    let made: Value = made.await.json();
    let (key, keys) =
        (made["key"].as_str().unwrap(), folder.write("keys.toml", made["toml"].as_str().unwrap()));
    let address = free_address();
    let mut orchestrator = command(
        Some(&db.url),
        &folder.0,
        &["orchestrator", "--http", &address, "--http-keys", &keys],
    );
    orchestrator.env("RUST_LOG", "trace");
    let orchestrator = start(orchestrator);
    let answer = async |path: &str, key: &str| {
        eventually("an answer", SOON, async || get(&address, path, key).await).await
    };
    let mut told = Vec::new();
    for (path, key, status) in [
        ("/v1/queues", key, 200),
        ("/metrics", key, 200),
        ("/v1/dead-letters", key, 403),
        ("/v1/queues", "tk_of_somebody_else", 401),
        ("/v1/tasks/7", key, 400),
        ("/openapi.json", "", 200),
    ] {
        let (seen, text) = answer(path, key).await;
        assert_eq!(seen, status, "{path}: {text}");
        told.push(text);
    }
    assert!(
        told[1].contains(
            "tasker_http_requests_total{method=\"GET\",route=\"/v1/queues\",status=\"200\"} 1"
        ),
        "{}",
        told[1]
    );
    let end = stop(orchestrator).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    told.extend([end.stderr.clone(), end.stdout.clone()]);
    let password = db.url.split([':', '@']).nth(2).unwrap().to_owned();
    for text in &told {
        assert!(!text.contains(key) && !text.contains("of_somebody_else"), "a key is told: {text}");
        assert!(password.len() < 8 || !text.contains(&password), "the password is told: {text}");
    }
    assert!(
        end.stderr.contains("key=\"key:ci\"") && end.stderr.contains("correlation_id="),
        "{}",
        end.stderr
    );
}

#[tokio::test]
async fn an_address_asked_for_must_be_free_and_closed_to_others() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = async |args: &[&str]| {
        run(command(Some(&db.url), &folder.0, &[&["orchestrator"], args].concat())).await.failed()
    };
    assert!(
        refused(&["--http-open", "--http", &address])
            .await
            .contains("cannot serve the HTTP API on 127.0.0.1")
    );
    assert!(refused(&["--http", "0.0.0.0:0"]).await.contains("tasker key new"));
    assert!(
        refused(&["--http", "127.0.0.1:0", "--http-keys", "none.toml"]).await.contains("none.toml")
    );
    let half =
        run(command(Some(&db.url), &folder.0, &["orchestrator", "--http-tls-cert", "cert.pem"]))
            .await;
    assert!(half.code == Some(2) && half.stderr.contains("--http-tls-key"), "{half:?}");
}

#[tokio::test]
async fn the_usual_address_taken_by_another_is_no_reason_to_end() {
    let (db, folder) = (TestDb::new().await, Folder::new());
    // This test has it, or something else on the machine.
    let _taken = std::net::TcpListener::bind("127.0.0.1:8410");
    let mut orchestrator =
        start(command(Some(&db.url), &folder.0, &["orchestrator", "--json", "--http-open"]));
    let document = until_printed(&mut orchestrator, "}").await;
    assert!(document.contains("\"api\": null"), "{document}");
    let end = stop(orchestrator).await;
    assert!(
        end.code == Some(0) && end.stderr.contains("--http chooses another address"),
        "{end:?}"
    );
}
