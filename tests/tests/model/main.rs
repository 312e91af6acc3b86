//! Random graphs with random outcomes, crashes, and operators, run by the engine and by a model of it in memory: after
//! every action both must say the same of every step and of the task.
//!
//! `cargo test -p tasker-tests --test model -- --ignored` runs ten thousand cases, TASKER_MODEL_CASES another number. A failing case is shrunk and printed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod actions;
mod database;
mod machine;

use actions::{Action, Case, case};
use database::Database;
use machine::Machine;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::runtime::{Builder, Runtime};

/// A fresh database now and then: the invariants look at all of it.
const CASES_A_DATABASE: usize = 100;

#[test]
fn the_engine_does_what_the_model_does() {
    run(300);
}

#[test]
#[ignore = "takes many minutes"]
fn the_engine_does_what_the_model_does_ten_thousand_times() {
    run(10_000);
}

fn run(cases: u32) {
    let cases = std::env::var("TASKER_MODEL_CASES").map_or(cases, |cases| cases.parse().unwrap());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut database = runtime.block_on(Database::new());
    let mut used = 0;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let database = std::cell::RefCell::new(&mut database);
    let used = std::cell::RefCell::new(&mut used);
    let result = TestRunner::new(config).run(&case(), |case| {
        let mut database = database.borrow_mut();
        let mut used = used.borrow_mut();
        **used += 1;
        if **used % CASES_A_DATABASE == 0 {
            **database = runtime.block_on(Database::new());
        }
        check(&runtime, &mut database, &case).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\nin the smallest case found: {case:#?}"),
        Err(error) => panic!("{error}"),
    }
}

/// Says what differs, and leaves the database without work.
fn check(runtime: &Runtime, database: &mut Database, case: &Case) -> Result<(), String> {
    runtime.block_on(async {
        let checked = play(database, case).await;
        if checked.is_err() {
            // Whatever is left of this case must not disturb the next.
            *database = Database::new().await;
        }
        checked
    })
}

async fn play(database: &mut Database, case: &Case) -> Result<(), String> {
    let mut machine = Machine::new(case);
    database.begin(case).await;
    compare(&machine, database, "the start").await?;
    for (n, action) in case.actions.iter().enumerate() {
        step(&mut machine, database, action, &format!("action {n}, {action:?}")).await?;
    }
    // Let it come to its end, where it can.
    step(&mut machine, database, &Action::Resume, "the resume at the end").await?;
    let mut rounds = 0;
    while machine.can_move() {
        for action in [Action::Sweep, Action::Expire, Action::Claim, Action::CompleteAll, Action::Process] {
            step(&mut machine, database, &action, &format!("{action:?} of round {rounds} at the end"))
                .await?;
        }
        rounds += 1;
        if rounds > 200 {
            return Err("the task neither ends nor stops".to_owned());
        }
    }
    let violations = database.violations().await;
    if !violations.is_empty() {
        return Err(format!("invariants: {violations:#?}"));
    }
    database.end().await;
    Ok(())
}

async fn step(
    machine: &mut Machine,
    database: &mut Database,
    action: &Action,
    what: &str,
) -> Result<(), String> {
    let actual = database.act(action, machine).await;
    let expected = machine.act(action);
    if actual != expected {
        return Err(format!("{what}: the engine answered {actual:?}, the model {expected:?}"));
    }
    compare(machine, database, what).await
}

async fn compare(machine: &Machine, database: &Database, what: &str) -> Result<(), String> {
    let (actual, expected) = (database.state().await, machine.state());
    if actual == expected {
        return Ok(());
    }
    let differences: Vec<String> = actual
        .iter()
        .zip(&expected)
        .filter(|(actual, expected)| actual != expected)
        .map(|(actual, expected)| format!("engine {actual}\n model {expected}"))
        .collect();
    Err(format!("after {what}:\n{}", differences.join("\n")))
}
