//! Processes that are stopped, killed, or cut off from their database: what becomes of their steps,
//! and what they say of their health.

use crate::support::{command, start, stop};
use pgtasker_tests::{Network, Proxy, TestDb, eventually};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Child,
};

const SOON: Duration = Duration::from_secs(30);

/// A task of one step that sleeps for an hour, and what runs it.
struct Shop {
    db: TestDb,
    _orchestrator: Child,
}

impl Shop {
    async fn open() -> Self {
        let db = TestDb::new().await;
        let sleep = json!({
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
            .bind(sleep)
            .execute(&db.pool)
            .await
            .unwrap();
        sqlx::query("select tasker.enqueue_task('shop', 'nap')").execute(&db.pool).await.unwrap();
        let orchestrator = process(&db.url, &["orchestrator"]);
        Self { db, _orchestrator: orchestrator }
    }

    fn worker(&self, more: &[&str]) -> Child {
        process(&self.db.url, &[&["worker", "--namespace", "shop"], more].concat())
    }

    /// Waits until the step has been claimed so often, and is being run.
    async fn claimed(&self, times: i32) {
        eventually("the step to be claimed", SOON, async || {
            let seen = step(&self.db.pool).await;
            if seen.0 == "in_progress" && seen.2 == times { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

fn process(url: &str, args: &[&str]) -> Child {
    start(command(Some(url), &std::env::temp_dir(), args))
}

/// State, attempt, and claim number of the one step.
async fn step(pool: &PgPool) -> (String, i32, i32) {
    let sql = "select state::text, attempt, claim_no from tasker.steps";
    sqlx::query_as(sql).fetch_optional(pool).await.unwrap().unwrap_or_default()
}

#[tokio::test]
async fn a_worker_that_is_terminated_gives_its_steps_back_at_once_and_the_attempt_too() {
    let shop = Shop::open().await;
    let worker = shop.worker(&["--lease", "1h", "--grace", "100ms"]);
    shop.claimed(1).await;
    let end = stop(worker).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(step(&shop.db.pool).await, ("enqueued".to_owned(), 0, 1));
    let _other = shop.worker(&[]);
    shop.claimed(2).await;
    assert_eq!(step(&shop.db.pool).await.1, 1);
}

/// Whatever its grace: who asks twice does not want to wait, and leaves nothing to a lease all the
/// same.
#[tokio::test]
async fn a_second_signal_gives_the_steps_back_at_once() {
    let shop = Shop::open().await;
    let worker = shop.worker(&["--lease", "1h", "--grace", "10m"]);
    shop.claimed(1).await;
    let pid = worker.id().unwrap().to_string();
    let term =
        async || tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    assert!(term().await.success());
    // One within a second counts as the same, as supervisors send it twice.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let asked = Instant::now();
    let end = stop(worker).await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert_eq!(step(&shop.db.pool).await, ("enqueued".to_owned(), 0, 1), "{end:?}");
}

#[tokio::test]
async fn the_steps_of_a_killed_worker_are_claimed_by_another_within_lease_and_two_seconds() {
    const LEASE: Duration = Duration::from_secs(2);
    let shop = Shop::open().await;
    let mut worker = shop.worker(&["--lease", "2s"]);
    shop.claimed(1).await;
    let other = shop.worker(&["--lease", "2s"]);
    eventually("both workers to be there", SOON, async || {
        let sql = "select count(*) from tasker.worker_overview where alive";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&shop.db.pool).await.unwrap() == 2
    })
    .await;
    worker.kill().await.unwrap();
    let killed = Instant::now();
    shop.claimed(2).await;
    let took = killed.elapsed();
    assert!(took < LEASE + Duration::from_secs(2), "claimed again after {took:?}");
    let losses: i32 = sqlx::query_scalar("select lease_losses from tasker.steps")
        .fetch_one(&shop.db.pool)
        .await
        .unwrap();
    assert_eq!((step(&shop.db.pool).await.1, losses), (1, 1), "a loss is no attempt");
    drop(other);
}

/// Status and body of a GET.
async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn health_over_http_follows_the_database_and_the_log_tells_each_change_once() {
    let db = TestDb::new().await;
    let proxy = Proxy::to(&db.url).await;
    let addresses = [free_address(), free_address()];
    let url = proxy.url(&db.url);
    let [orchestrator, worker] = [&["orchestrator"][..], &["worker", "--namespace", "shop"]];
    let processes = [(orchestrator, &addresses[0]), (worker, &addresses[1])]
        .map(|(args, address)| process(&url, &[args, &["--metrics", address]].concat()));
    for (network, status, healthy, circuit) in
        [(Network::Up, 200, true, 0), (Network::Down, 503, false, 2), (Network::Up, 200, true, 0)]
    {
        proxy.set(network);
        for address in &addresses {
            let (_, body) = eventually("the health", SOON, async || {
                get(address, "/health").await.filter(|(seen, _)| *seen == status)
            })
            .await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (body["healthy"].as_bool(), body["reason"].is_string()),
                (Some(healthy), !healthy),
                "{body}"
            );
            assert!(body["since"].is_string(), "{body}");
            // The circuit is half-open at times.
            eventually("the gauges", SOON, async || {
                let (status, text) = get(address, "/metrics").await.ok_or_else(String::new)?;
                let lines = [
                    format!("tasker_healthy {}", u8::from(healthy)),
                    format!("tasker_database_circuit {circuit}"),
                ];
                let there =
                    status == 200 && lines.iter().all(|line| text.lines().any(|l| l == line));
                if there { Ok(()) } else { Err(text) }
            })
            .await;
        }
    }
    assert_eq!(get(&addresses[0], "/").await.unwrap().0, 404);
    for process in processes {
        let log = stop(process).await.stderr;
        let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        assert_eq!((count("circuit is open"), count("circuit is closed")), (1, 1), "{log}");
        assert_eq!(
            count("WARN")
                - [
                    "push is dead",
                    "namespace does not exist yet",
                    "is a superuser",
                    "the HTTP API is off"
                ]
                .map(count)
                .iter()
                .sum::<usize>(),
            1,
            "one line for all calls that failed: {log}"
        );
        assert_eq!(count("ERROR"), 0, "{log}");
    }
}

#[tokio::test]
async fn a_worker_that_waits_for_its_database_says_so_at_once() {
    // Nobody listens there.
    let url = "postgres://nobody@127.0.0.1:1/none";
    let args = ["worker", "--namespace", "shop"];
    let mut worker = start(command(Some(url), &std::env::temp_dir(), &args));
    let mut log = String::new();
    let mut lines = BufReader::new(worker.stderr.take().unwrap()).lines();
    let said = tokio::time::timeout(SOON / 2, async {
        while !log.contains("cannot reach the database: will try again for up to") {
            log.push_str(&lines.next_line().await.unwrap().unwrap());
        }
    });
    said.await.unwrap();
    assert!(log.contains("127.0.0.1:1/none"), "{log}");
    worker.kill().await.unwrap();
}
