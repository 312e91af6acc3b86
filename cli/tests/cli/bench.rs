//! `tasker bench`: what it measures, what it refuses, and what it leaves.

use crate::support::{Folder, command, run, start, stop, tasker};
use pgtasker_tests::{engine::Engine, eventually};
use serde_json::json;
use std::{fs::Permissions, os::unix::fs::PermissionsExt, time::Duration};

#[tokio::test]
async fn with_events_both_are_measured_and_no_event_is_left() {
    let e = Engine::new().await;
    let args =
        ["bench", "--workflow", "diamond", "--events", "--tasks", "20", "--runs", "2", "--json"];
    let report = tasker(&e.db.url, &args).await.json();
    for figures in [&report, &report["with_events"]] {
        for figure in ["steps_per_second", "floor_ratio", "wal_bytes_per_step"] {
            assert!(figures[figure].as_f64().unwrap() > 0.0, "{figure} {report}");
        }
        if cfg!(target_os = "linux") {
            for process in ["postgresql", "orchestrator", "workers"] {
                let seconds = figures["cpu_seconds_per_step"][process].as_f64();
                assert!(seconds.is_some_and(|seconds| seconds >= 0.0), "{process} {report}");
            }
        }
    }
    assert!(report["with_events"]["floor_ratio_of_without"].as_f64().unwrap() > 0.0, "{report}");
    // 20 of the warm-up, and 20 in each of two runs, by template.
    let (with, without, sent, left): (i64, i64, i64, i64) = sqlx::query_as(
        "select count(*) filter (where t.name = 'diamond_events'), count(*) filter (where t.name \
         = 'diamond'),
                (select pg_sequence_last_value(pg_get_serial_sequence(format('pgmq.%I', 'q_' || \
                q.queue), 'msg_id')) from tasker.queue_overview q where q.kind = 'events'),
                (select q.depth from tasker.queue_overview q where q.kind = 'events')
           from tasker.tasks t",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(
        (with, without, sent, left),
        (60, 60, 240, 0),
        "one event for each of the four steps"
    );
    let text = tasker(&e.db.url, &args[..args.len() - 1]).await.ok();
    assert!(
        text.contains("ONE DURABLE EVENT A STEP")
            && text.contains("of that without; the target is 0.70"),
        "{text}"
    );
    assert!(
        tasker(&e.db.url, &["bench", "--tasks", "5", "--runs", "1", "--json"])
            .await
            .json()
            .get("with_events")
            .is_none()
    );
}

#[tokio::test]
async fn the_batch_benchmark_measures_both_and_runs_the_convergence_once() {
    let e = Engine::new().await;
    let args =
        ["bench", "--workflow", "batch", "--instances", "40,120", "--tasks", "20", "--runs", "1"];
    let report = tasker(&e.db.url, &[&args[..], &["--json"]].concat()).await.json();
    let batches = report["batches"].as_array().unwrap();
    assert_eq!(
        batches.iter().map(|batch| &batch["instances"]).collect::<Vec<_>>(),
        [&json!(40), &json!(120)]
    );
    for batch in batches {
        assert_eq!(batch["convergence_runs"], 1, "{report}");
        for figure in ["created_ms", "steps_per_second", "linear_ratio", "task_ms"] {
            assert!(batch[figure].as_f64().unwrap() > 0.0, "{figure} {report}");
        }
        assert!(batch["created_ms"].as_f64() < batch["task_ms"].as_f64(), "{report}");
    }
    assert_eq!(bench_schemas(&e).await, 0, "the function is gone again");
}

#[tokio::test]
async fn two_builds_are_measured_by_turns_and_their_databases_are_dropped() {
    let e = Engine::new().await;
    // This build as the other one: all ratios are near 1, and no figure is missing.
    let other = env!("CARGO_BIN_EXE_tasker");
    let args = ["bench", "--against", other, "--tasks", "20", "--runs", "2"];
    let report = tasker(&e.db.url, &[&args[..], &["--json"]].concat()).await.json();
    let figures = report["figures"].as_array().unwrap();
    let figure =
        |name: &str| figures.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("{name}"));
    let mut names = vec!["steps/s", "task latency p50, ms", "WAL bytes/step"];
    if cfg!(target_os = "linux") {
        names.push("CPU µs/step, all");
    }
    for name in names {
        let [min, median, max] =
            ["min", "median", "max"].map(|key| figure(name)["ratio"][key].as_f64());
        assert!(min > Some(0.0) && min <= median && median <= max, "{name} {report}");
    }
    // The server's other databases write WAL too, and this one's rows are its own.
    let ratio = figure("rows written/step")["ratio"]["median"].as_f64().unwrap();
    assert!((0.5..2.0).contains(&ratio), "the same build writes about the same rows: {report}");
    // The database that was named is the way to the server, and nothing else.
    let made: (i64, i64) = sqlx::query_as(
        "select (select count(*) from pg_database where datname like 'tasker_bench%'), (select \
         count(*) from tasker.namespaces)",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(made, (0, 0));
    let failed = tasker(&e.db.url, &["bench", "--against", "/nowhere/tasker"]).await.failed();
    assert!(failed.contains("/nowhere/tasker cannot be run"), "{failed}");
}

#[tokio::test]
async fn a_language_that_cannot_be_measured_says_what_is_missing() {
    let e = Engine::new().await;
    let bench = async |folder: &str| {
        let mut bench = command(Some(&e.db.url), &std::env::temp_dir(), &["bench", "--language"]);
        bench.arg("ruby").env("PATH", folder);
        run(bench).await.failed()
    };
    let none = bench("/nowhere").await;
    assert!(none.contains("error: ruby cannot be run"), "{none}");
    let folder = Folder::new();
    let ruby =
        folder.write("ruby", "#!/bin/sh\necho cannot load such file -- pgtasker >&2; exit 1\n");
    std::fs::set_permissions(&ruby, Permissions::from_mode(0o755)).unwrap();
    let lacks = bench(folder.0.to_str().unwrap()).await;
    let wanted =
        "ruby does not find pgtasker: cannot load such file -- pgtasker; docs/languages.md";
    assert!(lacks.contains(wanted), "{lacks}");
    let left: i64 =
        sqlx::query_scalar("select count(*) from pg_database where datname like 'tasker_bench%'")
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(left, 0);
}

async fn bench_schemas(e: &Engine) -> i64 {
    sqlx::query_scalar("select count(*) from pg_namespace where nspname like 'bench%'")
        .fetch_one(e.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_batch_benchmark_that_fails_says_why_even_where_its_schema_cannot_be_dropped() {
    let e = Engine::new().await;
    sqlx::raw_sql(
        "update tasker.settings set max_instances = 10;
         create function keep() returns event_trigger language plpgsql as $$ begin raise \
         exception 'schemas are kept'; end $$;
         create event trigger keep on ddl_command_start when tag in ('DROP SCHEMA') execute \
         function keep();",
    )
    .execute(e.pool())
    .await
    .unwrap();
    let failed =
        tasker(&e.db.url, &["bench", "--workflow", "batch", "--tasks", "5"]).await.failed();
    let error = failed.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.contains("blocked_by_failures") && error.contains("the limit is 10"), "{failed}");
    assert!(failed.contains("schemas are kept"), "the schema that is left is told: {failed}");
    assert_eq!(bench_schemas(&e).await, 1);
}

#[tokio::test]
async fn an_interrupted_batch_benchmark_leaves_no_schema() {
    let e = Engine::new().await;
    let args = ["bench", "--workflow", "batch", "--runs", "1000"];
    let bench = start(command(Some(&e.db.url), &std::env::temp_dir(), &args));
    eventually("the benchmark's schema", Duration::from_secs(30), async || {
        match bench_schemas(&e).await {
            1 => Ok(()),
            n => Err(n),
        }
    })
    .await;
    assert!(stop(bench).await.failed().contains("error: interrupted"));
    assert_eq!(bench_schemas(&e).await, 0);
}

#[tokio::test]
async fn the_benchmark_refuses_options_that_do_not_go_together() {
    let refused = async |args: &[&str]| {
        run(command(None, &std::env::temp_dir(), &[&["bench"], args].concat())).await.failed()
    };
    let instances = refused(&["--instances", "10"]).await;
    assert!(
        instances.contains("--workflow linear has no instances\nhint: add --workflow batch"),
        "{instances}"
    );
    let latency = refused(&["--workflow", "batch", "--latency"]).await;
    assert!(latency.contains("hint: leave --latency out"), "{latency}");
    let events = refused(&["--workflow", "batch", "--events"]).await;
    assert!(events.contains("hint: leave --events out"), "{events}");
}
