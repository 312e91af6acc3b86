//! `tasker events tail`, over the database and over the HTTP API.

use crate::support::{Run, command, run, start, stop, tasker, until_printed};
use pgtasker_tests::{
    ApiServer, Network, Proxy,
    engine::{Engine, flow, publishing_flow},
    eventually,
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const SOON: Duration = Duration::from_secs(30);

/// `test.flow` publishes payment.processed and shipped, and both ways to it.
struct World {
    engine: Engine,
    api: ApiServer,
}

impl World {
    async fn new() -> Self {
        let engine = Engine::new().await;
        engine.apply(publishing_flow(&["payment.processed", "shipped"])).await;
        let api = ApiServer::start(engine.pool()).await;
        Self { engine, api }
    }

    /// Announces events of these names, with their number as payload.
    async fn announce(&self, events: &[(&str, i32)]) {
        self.engine.start().await;
        let claim = self.engine.claim(1).await.remove(0);
        let events: Vec<Value> =
            events.iter().map(|(name, n)| json!({"name": name, "payload": {"n": n}})).collect();
        assert_eq!(self.engine.announce(&claim, json!(events)).await, "accepted");
    }

    /// `tasker events tail test` with these options, over one way or the other.
    fn tail(&self, over_api: bool, args: &[&str]) -> Command {
        let args = [&["events", "tail", "test"], args].concat();
        let url = (!over_api).then_some(self.engine.db.url.as_str());
        let mut command = command(url, &std::env::temp_dir(), &args);
        if over_api {
            command.args(["--api", &self.api.url]);
        }
        command
    }
}

async fn interrupted(child: Child) -> Run {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await.unwrap().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn the_newest_are_shown_then_what_comes_until_ctrl_c_and_nothing_is_consumed() {
    for over_api in [false, true] {
        let world = World::new().await;
        world.announce(&[("shipped", 1), ("payment.processed", 2), ("shipped", 3)]).await;
        let mut tail = start(world.tail(over_api, &["-f", "--lines", "2"]));
        let text = until_printed(&mut tail, "{\"n\":3}\n").await;
        let first = text.lines().next().unwrap();
        assert!(
            first.contains("  payment.processed v1.0  ") && first.ends_with("  pay  {\"n\":2}"),
            "{text}"
        );
        assert!(!text.contains("{\"n\":1}"), "{text}");
        world.announce(&[("payment.processed", 4)]).await;
        until_printed(&mut tail, "{\"n\":4}\n").await;
        // Each once.
        world.announce(&[("shipped", 5)]).await;
        assert_eq!(until_printed(&mut tail, "{\"n\":5}\n").await.lines().count(), 1);
        let end = interrupted(tail).await;
        assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{end:?}");
        let untouched: i64 =
            sqlx::query_scalar("select count(*) from pgmq.q_test_domain_events where read_ct = 0")
                .fetch_one(world.engine.pool())
                .await
                .unwrap();
        assert_eq!(untouched, 5);
    }
}

#[tokio::test]
async fn json_is_each_event_whole_in_a_line_and_only_those_of_a_name() {
    let world = World::new().await;
    world.announce(&[("payment.processed", 1), ("shipped", 2), ("payment.processed", 3)]).await;
    let stored: Vec<Value> =
        sqlx::query_scalar("select message from pgmq.q_test_domain_events order by msg_id")
            .fetch_all(world.engine.pool())
            .await
            .unwrap();
    for over_api in [false, true] {
        let shown = async |args: &[&str]| {
            let text = run(world.tail(over_api, args)).await.ok();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        };
        assert_eq!(shown(&["--no-follow", "--json"]).await, stored);
        let payments = shown(&["--no-follow", "--json", "--name", "payment.*"]).await;
        assert_eq!(payments, [stored[0].clone(), stored[2].clone()]);
        // The newest of that name, not that name among the newest.
        assert_eq!(
            shown(&["--no-follow", "--json", "--name", "shipped", "-n", "1"]).await,
            stored[1..2]
        );
    }
    let mut tail = start(world.tail(true, &["--json", "--name", "shipped", "--lines", "0"]));
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // Until it has begun to look.
    let line = eventually("an event", SOON, async || {
        world.announce(&[("payment.processed", 4), ("shipped", 5)]).await;
        tokio::time::timeout(Duration::from_millis(300), lines.next_line()).await
    })
    .await;
    let line = line.unwrap().unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["name"], &event["payload"]), (&json!("shipped"), &json!({"n": 5})));
    assert_eq!(stop(tail).await.code, Some(0));
}

#[tokio::test]
async fn an_event_whose_transaction_ends_late_is_shown_too() {
    let world = World::new().await;
    world.announce(&[("shipped", 1)]).await;
    let mut slow = world.engine.pool().begin().await.unwrap();
    let send = |n: i32| {
        AssertSqlSafe(format!(
            "select pgmq.send('test_domain_events', '{{\"name\": \"late\", \"n\": {n}}}')"
        ))
    };
    sqlx::query(send(2)).execute(&mut *slow).await.unwrap();
    let mut tail = start(world.tail(false, &[]));
    until_printed(&mut tail, "{\"n\":1}").await;
    sqlx::query(send(3)).execute(world.engine.pool()).await.unwrap();
    let text = until_printed(&mut tail, "\"n\":3").await;
    assert!(!text.contains("\"n\":2"), "{text}");
    slow.commit().await.unwrap();
    // It is no event of a step, and shown as what it is.
    let text = until_printed(&mut tail, "\"n\":2").await;
    assert!(text.contains("no event of a step  {\"n\":2,\"name\":\"late\"}"), "{text}");
    sqlx::query(send(4)).execute(world.engine.pool()).await.unwrap();
    assert_eq!(until_printed(&mut tail, "\"n\":4").await.matches("\"n\":").count(), 1);
    assert_eq!(stop(tail).await.code, Some(0));
}

/// Each transaction takes its numbers, waits for up to 50 ms, and commits.
#[tokio::test]
async fn each_event_is_shown_once_while_many_send_at_the_same_time() {
    const SENDERS: usize = 8;
    const ROUNDS: usize = 40;
    let world = World::new().await;
    world.announce(&[("shipped", 1)]).await;
    let mut tail = start(world.tail(false, &["--json"]));
    until_printed(&mut tail, "\n").await;
    let senders = (0..SENDERS).map(|sender| {
        let pool = world.engine.pool().clone();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let mut tx = pool.begin().await.unwrap();
                for sql in [
                    format!("select pgmq.send('test_domain_events', '[{sender}, {round}]')"),
                    "select pg_sleep(random() * 0.05)".to_owned(),
                ] {
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
                }
                tx.commit().await.unwrap();
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut shown: Vec<String> = Vec::new();
    while shown.len() < SENDERS * ROUNDS {
        let line = tokio::time::timeout(SOON, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("only {} were shown", shown.len()));
        shown.push(line.unwrap().unwrap());
    }
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), SENDERS * ROUNDS);
    assert_eq!(stop(tail).await.code, Some(0));
}

#[tokio::test]
async fn an_outage_is_waited_for_and_nothing_is_missed() {
    let world = World::new().await;
    for over_api in [false, true] {
        world.announce(&[("shipped", 1)]).await;
        let target = if over_api {
            world.api.url.replace("http://", "@")
        } else {
            world.engine.db.url.clone()
        };
        let proxy = Proxy::to(&target).await;
        let mut tail = match over_api {
            true => {
                let mut tail = command(None, &std::env::temp_dir(), &["events", "tail", "test"]);
                tail.args(["--api", &proxy.url(&target).replace('@', "http://")]);
                tail
            }
            false => command(
                Some(&proxy.url(&target)),
                &std::env::temp_dir(),
                &["events", "tail", "test"],
            ),
        };
        tail.stderr(Stdio::piped());
        let mut tail = start(tail);
        until_printed(&mut tail, "{\"n\":1}").await;
        proxy.set(Network::Down);
        let mut notes = BufReader::new(tail.stderr.take().unwrap()).lines();
        let mut note =
            async || tokio::time::timeout(SOON, notes.next_line()).await.unwrap().unwrap().unwrap();
        let away = note().await;
        assert!(away.ends_with("; waiting") && !away.contains("postgres://"), "{away}");
        world.announce(&[("shipped", 2)]).await;
        proxy.set(Network::Up);
        until_printed(&mut tail, "{\"n\":2}").await;
        let back = note().await;
        assert!(back.starts_with("answering again after "), "{back}");
        assert_eq!(stop(tail).await.code, Some(0));
        // For the other way.
        sqlx::query("select pgmq.purge_queue('test_domain_events')")
            .execute(world.engine.pool())
            .await
            .unwrap();
    }
}

/// The old host stays silent forever.
#[tokio::test]
async fn another_host_that_takes_over_is_found() {
    let world = World::new().await;
    world.announce(&[("shipped", 1)]).await;
    let url = &world.engine.db.url;
    let proxy = Proxy::to(url).await;
    let mut tail =
        start(command(Some(&proxy.url(url)), &std::env::temp_dir(), &["events", "tail", "test"]));
    until_printed(&mut tail, "{\"n\":1}").await;
    proxy.set(Network::Moved);
    world.announce(&[("shipped", 2)]).await;
    until_printed(&mut tail, "{\"n\":2}").await;
    assert_eq!(stop(tail).await.code, Some(0));
}

#[tokio::test]
async fn a_reader_that_goes_ends_it_though_nothing_comes() {
    let world = World::new().await;
    world.announce(&[("shipped", 1)]).await;
    let program = env!("CARGO_BIN_EXE_tasker");
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{program} events tail test | head -n 1; echo ${{PIPESTATUS[0]}}")]);
    shell.env("DATABASE_URL", &world.engine.db.url).env_remove("TASKER_DATABASE_URL");
    shell.stdin(Stdio::null()).kill_on_drop(true);
    let end = run(shell).await;
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{end:?}");
    assert!(end.stdout.contains("{\"n\":1}\n0\n"), "{end:?}");
}

#[tokio::test]
async fn what_cannot_be_followed_is_told() {
    let world = World::new().await;
    for over_api in [false, true] {
        let told = |namespace: &'static str, args: &'static [&'static str]| {
            let args = [&["events", "tail", namespace], args].concat();
            let mut command = command(
                (!over_api).then_some(world.engine.db.url.as_str()),
                &std::env::temp_dir(),
                &args,
            );
            if over_api {
                command.args(["--api", &world.api.url]);
            }
            run(command)
        };
        let unknown = told("nowhere", &[]).await.failed();
        assert!(unknown.contains("there is no namespace \"nowhere\" (TK001)"), "{unknown}");
        let none = told("test", &["--no-follow"]).await;
        assert_eq!((none.stderr.as_str(), none.stdout.as_str()), ("no such events\n", ""));
        for wrong in [&["--name", "Payment.*"][..], &["--lines", "1001"], &["--lines", "-1"]] {
            let wrong = [&["events", "tail", "test"], wrong].concat();
            let refused = tasker(&world.engine.db.url, &wrong).await;
            assert_eq!(refused.code, Some(2), "{refused:?}");
        }
    }
    let mut quiet = flow(&[("only", &[])]);
    quiet["namespace"] = json!("quiet");
    world.engine.apply(quiet).await;
    let none = tasker(&world.engine.db.url, &["events", "tail", "quiet", "--no-follow"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    assert!(
        none.stderr.contains("no template of quiet has durable events: see publishes_events"),
        "{none:?}"
    );
}

#[tokio::test]
async fn queues_of_events_are_listed_and_watched_with_the_others() {
    let world = World::new().await;
    world.announce(&[("shipped", 1), ("shipped", 2)]).await;
    let url = &world.engine.db.url;
    let list = tasker(url, &["queue", "list"]).await.ok();
    let line = list.lines().find(|line| line.starts_with("test_domain_events ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[1..3], ["2", "2"], "{list}");
    let page = tasker(url, &["top", "--interval", "100ms"]).await.ok();
    assert!(
        page.contains("0 held; 2 domain events") && page.contains("test_domain_events"),
        "{page}"
    );
}
