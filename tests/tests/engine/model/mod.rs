//! Random graphs with random outcomes, crashes, and operators, run by the engine and by a model of
//! it in memory: after every action both must say the same of every step and of the task.
//!
//! LONG_TESTS=1, which `.ci/run` sets, plays more cases and breaks the engine in every way
//! listed here; without it a run is a sample. TASKER_MODEL_CASES=10000 makes a long run of it, an
//! hour or so. A failing case is shrunk and printed.

mod actions;
mod database;
mod graph;
mod machine;
mod operators;
mod rule;
mod workers;

use actions::{Action, Case, case};
use database::Database;
use machine::Machine;
use pgtasker_tests::is_long;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use tokio::runtime::Builder;

/// A fresh database now and then: the invariants look at all of it.
const CASES_A_DATABASE: u32 = 50;
/// How often a failed task is retried at the end of a case.
const RETRIES: u32 = 2;

#[test]
fn the_engine_does_what_the_model_does() {
    let usual = if is_long() { 200 } else { 60 };
    let cases = std::env::var("TASKER_MODEL_CASES").map_or(usual, |cases| cases.parse().unwrap());
    match try_run(cases, 100, None, Database::new) {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => {
            panic!("{reason}\nin the smallest case found: {case:#?}")
        }
        Err(error) => panic!("{error}"),
    }
}

/// A function of the engine, and what in it becomes what: the model must see each. What needs
/// several losses in a row chance does not bring about in time: the tests of lost leases look at
/// each of those bounds by itself.
const SABOTAGE: &[(&str, &str, &str)] = &[
    (
        "settle_steps",
        "s.attempt < s.max_attempts then 'pending'",
        "s.attempt <= s.max_attempts then 'pending'",
    ),
    (
        "waiting_children",
        "child.waiting_on = satisfied.n, child.waiting_on",
        "child.waiting_on <= satisfied.n + 1, child.waiting_on",
    ),
    ("settle_free_steps", "s.claim_no = r.claim_no and", ""),
    ("settle_free_steps", "decided = r.decided, ", ""),
    ("hold_claims", "and s.claim_no = i.claim_no and s.state", "and s.state"),
    ("claim_judged", "attempt = s.attempt - c.lost::int", "attempt = s.attempt"),
    ("give_back_claims", "attempt = h.attempt - 1", "attempt = h.attempt"),
    (
        "claim_plain",
        "attempt = s.attempt + ((f.made).error is null)::int",
        "attempt = s.attempt + 1",
    ),
    ("restart_steps", "claim_no = s.claim_no + 1", "claim_no = s.claim_no"),
    ("cancel_steps", "'enqueued', 'in_progress'", "'enqueued'"),
    ("resolve_step", "satisfied = true", "satisfied = false"),
    ("edges_of", "= 'not_chosen' then 'dead'", "= 'not_chosen' then 'live'"),
    ("edges_of", "when child.type <> 'deferred' and e.kind", "when e.kind"),
    (
        "judge_edges",
        "when bool_or(e.edge = 'unknown') then 'undecided' when not bool_or(e.edge = 'live')",
        "when bool_or(e.edge = 'live')",
    ),
    ("edges_of", "when child.conditional and not choice.satisfied then 'unknown'", ""),
    ("edges_of", "when choice.decided ? 'skip' and parent.when_false is null then 'dead'", ""),
    ("judge_otherwise", "and verdict.step = sister.step and not verdict.holds", ""),
    ("make_left_out", "satisfied = true", "satisfied = false"),
    ("judge_steps", "i.holds is distinct from false", "i.holds"),
    (
        "edges_of",
        "case when e.kind = 'complete' and not parent.goes_on then 'dead' else 'live' end",
        "'live'",
    ),
    ("edges_of", "when e.kind = 'failed' then 'dead'", ""),
    ("settle_steps", "p.handled or p.failure_strategy", "p.failure_strategy"),
    ("fail_judged", "claim_no = s.claim_no + 1", "claim_no = s.claim_no"),
    ("restart_steps", "perform tasker.judge_again(p_task_ids, p_steps, v_now);", ""),
    ("unmade_nodes", "and g.known ->> e.parent in ('exists', 'skipped')", ""),
    ("new_steps", "when count(*) = 0 then 1", "when count(*) = 0 then 0"),
    ("new_steps", "not s.satisfied", "s.satisfied"),
    ("batch_cursors", "coalesce(b.decided ->> 'worker_step', p_step) = p_step", "true"),
    ("refuse_pointless", "s.decides and i.outcome ->> 'type' = 'success'", "false"),
    ("settle_steps", "p.failure_strategy is not distinct from 'continue_on_failure'", "false"),
    ("stop_batches", "p.failure_strategy = 'fail_fast'", "false"),
    ("save_checkpoints", "attempt = 0", "attempt = s.attempt"),
    ("save_checkpoints", "lease_losses = 0", "lease_losses = s.lease_losses"),
    ("late_status", "and p_step.checkpoint -> 'cursor' = p_outcome -> 'cursor'", ""),
    ("replay_tasks", "perform tasker.create_steps(p_task_ids, v_now, true);", ""),
    (
        "submit_results",
        "send_events(p_results, array_positions(v_statuses, 'accepted'))",
        "send_events(p_results, array(select generate_subscripts(v_statuses, 1)))",
    ),
    ("complete_steps", "perform tasker.send_events(p_results, v_done.numbers)", "null"),
    (
        "advance_tasks",
        "(s.decides or s.reveals) and s.satisfied and s.task_id <> all (p_failing)",
        "false",
    ),
];

/// With it each of these is found within seconds; by chance one took minutes now and then.
const SEED: [u8; 32] = [10; 32];

#[test]
fn a_broken_engine_is_found_out() {
    find(&SABOTAGE[..SABOTAGE.len() / 2]);
}

#[test]
fn a_broken_engine_is_found_out_in_the_rest_too() {
    find(&SABOTAGE[SABOTAGE.len() / 2..]);
}

fn find(sabotage: &[(&str, &str, &str)]) {
    let one_in = if is_long() { 1 } else { 4 };
    for (function, from, to) in sabotage.iter().step_by(one_in) {
        let broken = async || Database::broken(function, from, to).await;
        let began = std::time::Instant::now();
        let found = try_run(1_000, 0, Some(SEED), broken);
        println!("{function}, {from}: {:?}", began.elapsed());
        assert!(found.is_err(), "in {function}, {from} was broken, and nothing was found");
    }
}

/// Random cases; always the same ones where there is a seed.
fn try_run(
    cases: u32,
    shrinks: u32,
    seed: Option<[u8; 32]>,
    open: impl AsyncFn() -> Database,
) -> Result<(), TestError<Case>> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let database = RefCell::new(runtime.block_on(open()));
    let used = Cell::new(0_u32);
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: shrinks, ..Config::default() };
    let mut runner = match seed {
        Some(seed) => {
            TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
        }
        None => TestRunner::new(config),
    };
    runner.run(&case(), |case| {
        used.set(used.get() + 1);
        let mut database = database.borrow_mut();
        let played = runtime.block_on(play(&mut database, &case)).map_err(|reason| {
            let violations = runtime.block_on(database.violations());
            format!("{reason}; invariants: {violations:#?}")
        });
        // Whatever is left of a failed case must not disturb the next.
        if played.is_err() || used.get().is_multiple_of(CASES_A_DATABASE) {
            *database = runtime.block_on(open());
        }
        played.map_err(TestCaseError::fail)
    })
}

async fn play(database: &mut Database, case: &Case) -> Result<(), String> {
    let mut machine = Machine::new(case);
    database.begin(case).await;
    compare(&machine, database, "the start").await?;
    compare_graphs(&machine, database, "the start").await?;
    for (n, action) in case.actions.iter().enumerate() {
        step(&mut machine, database, action, &format!("action {n}, {action:?}")).await?;
    }
    // Let it come to its end, where it can.
    step(&mut machine, database, &Action::Resume, "the resume at the end").await?;
    let mut rounds = 0_u16;
    for _ in 0..RETRIES {
        while machine.can_move() {
            let number = 7 + 13 * rounds;
            for action in
                [Action::Sweep, Action::Claim, Action::CompleteAll(number), Action::Process]
            {
                step(
                    &mut machine,
                    database,
                    &action,
                    &format!("{action:?} of round {rounds} at the end"),
                )
                .await?;
            }
            rounds += 1;
            if rounds > 200 {
                return Err("the task neither ends nor stops".to_owned());
            }
        }
        step(&mut machine, database, &Action::RetryTasks, "the retry at the end").await?;
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
    compare(machine, database, what).await?;
    match action {
        Action::Process
        | Action::Complete(..)
        | Action::CompleteAll(_)
        | Action::ResolveStep(..)
        | Action::RetryStep(_)
        | Action::Reset
        | Action::RetryTasks => compare_graphs(machine, database, what).await,
        _ => Ok(()),
    }
}

async fn compare(machine: &Machine, database: &Database, what: &str) -> Result<(), String> {
    same(&database.state().await, &machine.state(), what)
}

/// What exists and what does not: it takes longer, and few actions change it.
async fn compare_graphs(machine: &Machine, database: &Database, what: &str) -> Result<(), String> {
    same(&database.without_rows().await, &machine.without_rows(), what)
}

fn same(actual: &[String], expected: &[String], what: &str) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    let not_in = |these: &[String], those: &[String], who: &str| -> Vec<String> {
        these
            .iter()
            .filter(|line| !those.contains(line))
            .map(|line| format!("{who} {line}"))
            .collect()
    };
    let mut differences = not_in(actual, expected, "engine");
    differences.extend(not_in(expected, actual, " model"));
    Err(format!("after {what}:\n{}", differences.join("\n")))
}
