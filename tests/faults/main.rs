//! The proof that crashes lose nothing: tasks of mixed shapes run while workers, orchestrators,
//! backends, and the server itself are killed at random from a seed; afterwards every task must
//! have ended, every step completed once, the money must add up, and consumers, which are killed as
//! well, must have had each event of an accepted result once.
//!
//! `cargo test --release --test faults -- --seed 7 --minutes 2`; without options a short run. The
//! program is also its own workers and orchestrators: it starts itself with `--role`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod args;
mod bystander;
mod chaos;
mod checks;
mod children;
mod consumers;
mod events;
mod growing;
mod languages;
mod load;
mod report;
mod rng;
mod roles;
mod sabotage;

use args::Args;
use pgtasker_tests::{Proxy, TestDb, start_server};
use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Settings of a production server where it matters: a commit waits for the disk.
const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("max_connections", "200"),
];

/// For a run that must fail.
const SHORT: Duration = Duration::from_secs(5);
/// How it is broken in the normal tests.
const NORMAL: &str = "effects,events,lost_events";

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    if let Some((role, url)) = &args.role {
        return roles::run(role, url).await;
    }
    let short = std::env::args().len() == 1;
    let ended = run(args.clone()).await;
    if ended != ExitCode::SUCCESS || !short {
        return ended;
    }
    // In the normal tests: that it can fail, too.
    run(Args { sabotage: Some(NORMAL.to_owned()), chaos: SHORT, patience: SHORT, ..args }).await
}

async fn run(args: Args) -> ExitCode {
    let Args { seed, sabotage, .. } = &args;
    println!("faults: seed {seed}, {} s of chaos, sabotage {sabotage:?}", args.chaos.as_secs());
    let server = start_server(SETTINGS).await;
    let db = TestDb::on(&server).await;
    load::install(&db.pool).await;
    let findings = match sabotage {
        Some(names) => Some(sabotage::commit(&db.pool, names).await),
        None => None,
    };
    let started = Instant::now();
    let stop = CancellationToken::new();
    let consumers = consumers::Consumers::start(&db.url, args.seed).await;
    let proxy = Arc::new(Proxy::to(&db.url).await);
    let children = children::Children::start(&proxy.url(&db.url), &db, &args);
    let load = tokio::spawn(load::run(db.pool.clone(), args.seed, args.open_tasks, stop.clone()));
    let bystander = tokio::spawn(bystander::run(db.pool.clone(), args.seed, stop.clone()));

    let server = Arc::new(tokio::sync::Mutex::new(server));
    let deaths = chaos::run(&args, &children, &server, &db.pool, &proxy).await;
    stop.cancel();
    let enqueued = load.await.unwrap();
    let answers = bystander.await.unwrap();
    let stuck = load::settled(&db.pool, args.patience).await;
    let took = started.elapsed();
    let ends = children.stop().await;
    let lost = consumers.stop().await;

    let mut violations = stuck;
    violations.extend(ends.violation());
    violations.extend(checks::run(&db.pool, &enqueued, &answers).await);
    violations.extend(checks::server_log(server.lock().await.log_path()));
    if args.workers > 1 && growing::checkpoints(&db.pool).await.1 == 0 {
        violations
            .push("no instance went on at another worker: the run shows too little".to_owned());
    }
    let report = report::gather(&db.pool, &deaths, &answers, &ends, lost, took).await;
    if let Some(findings) = findings {
        let found = sabotage::found(&violations, &findings);
        return if found { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    println!("{report}");
    if violations.is_empty() {
        println!("faults: nothing lost, nothing done twice, nothing stuck");
        return ExitCode::SUCCESS;
    }
    for violation in violations.iter().take(50) {
        println!("VIOLATION: {violation}");
    }
    println!(
        "faults: {} violations; again with: cargo test --release --test faults -- {args}",
        violations.len()
    );
    ExitCode::FAILURE
}

/// Waits, but not beyond `at_most`.
async fn pause(at_most: Duration, wish: Duration) {
    tokio::time::sleep(wish.min(at_most)).await;
}
