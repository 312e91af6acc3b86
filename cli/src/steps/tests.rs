//! What the table of a task's steps looks like.

use super::*;
use chrono::TimeDelta;
use pgtasker_client::{Presence, StepType};
use serde_json::json;
use uuid::Uuid;

fn step(name: &str, state: StepState, attempt: i32, duration_ms: Option<f64>) -> StepOverview {
    StepOverview {
        task_id: Uuid::nil(),
        step: name.to_owned(),
        template_step: name.to_owned(),
        step_type: StepType::Standard,
        instance: None,
        inputs: None,
        checkpoint: None,
        handler: "noop".to_owned(),
        state,
        attempt,
        max_attempts: 3,
        claim_no: 0,
        waiting_on: 0,
        available_at: None,
        error: None,
        result: None,
        worker_id: None,
        enqueued_at: None,
        started_at: None,
        completed_at: None,
        duration_ms,
        waiting_for: None,
    }
}

fn instance(number: i32, state: StepState) -> StepOverview {
    StepOverview {
        template_step: "count".to_owned(),
        step_type: StepType::BatchWorker,
        instance: Some(number),
        ..step(&format!("count_{number:03}"), state, 1, None)
    }
}

fn node(name: &str, level: i32, parents: &[&str]) -> DagRow {
    DagRow {
        task_id: Uuid::nil(),
        step: name.to_owned(),
        template_step: name.to_owned(),
        step_type: StepType::Standard,
        presence: Presence::Exists,
        state: Some(StepState::Pending),
        parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
        children: Vec::new(),
        level,
    }
}

fn absent(name: &str, level: i32, parents: &[&str], presence: Presence) -> DagRow {
    DagRow { presence, state: None, ..node(name, level, parents) }
}

fn diamond() -> Vec<DagRow> {
    vec![
        node("reserve", 0, &[]),
        node("charge", 1, &["reserve"]),
        node("pack", 1, &["reserve"]),
        node("ship", 2, &["charge", "pack"]),
    ]
}

fn graph(steps: Vec<StepOverview>, dag: Vec<DagRow>) -> TaskGraph {
    TaskGraph { steps, dag, batches: Vec::new() }
}

/// `cut`, a batch with these counts of complete, failed, running, and waiting instances, and
/// `total`.
fn batch([complete, failed, running, waiting]: [i64; 4], shown: Vec<StepOverview>) -> TaskGraph {
    let instances = complete + failed + running + waiting;
    let created_at = Utc::now();
    let batch = BatchOverview {
        task_id: Uuid::nil(),
        step: "count".to_owned(),
        batchable: "cut".to_owned(),
        failure_strategy: "fail_fast".to_owned(),
        instances,
        complete,
        failed,
        cancelled: 0,
        running,
        waiting,
        items_done: complete,
        items_total: instances,
        created_at: Some(created_at),
        completed_at: Some(created_at + TimeDelta::milliseconds(2_500)),
    };
    let mut first = node("count_001", 1, &["cut"]);
    first.template_step = "count".to_owned();
    let mut steps = vec![
        step("cut", StepState::Complete, 1, Some(4.0)),
        step("total", StepState::Pending, 0, None),
    ];
    steps.extend(shown);
    let dag = vec![node("cut", 0, &[]), first, node("total", 2, &["count"])];
    TaskGraph { steps, dag, batches: vec![batch] }
}

#[test]
fn a_diamond_is_drawn_by_level_with_its_dependencies() {
    let steps = vec![
        step("reserve", StepState::Complete, 1, Some(12.4)),
        step("charge", StepState::Complete, 2, Some(1_240.0)),
        step("pack", StepState::InProgress, 1, None),
        step("ship", StepState::Pending, 0, None),
    ];
    let text = draw(&graph(steps, diamond()), Look::PLAIN, Utc::now());
    let expected = "\
STEP      STATE        ATTEMPT  DURATION  AFTER
reserve   complete     1/3      12 ms
├ charge  complete     2/3      1.24 s    reserve
└ pack    in_progress  1/3                reserve
  └ ship  pending                         charge, pack";
    assert_eq!(text, expected);
}

#[test]
fn errors_get_a_column_and_retries_their_time() {
    let now = Utc::now();
    let mut failed = step("pack", StepState::Error, 3, Some(40.0));
    failed.error = Some(json!({"message": "no box", "code": "E1", "retryable": false}));
    let mut retries = step("charge", StepState::Pending, 1, Some(5.0));
    retries.error = Some(json!({"message": "timeout"}));
    retries.available_at = Some(now + TimeDelta::milliseconds(3_500));
    let text = draw(&graph(vec![retries, failed], diamond()), Look::PLAIN, now);
    assert!(text.contains("pending in 3 s  1/3      5 ms      reserve  timeout"), "{text}");
    assert!(text.contains("no box (E1)"), "{text}");
}

#[test]
fn a_long_chain_stays_within_the_page() {
    assert_eq!(indented("a", 0, true), "a");
    assert_eq!(indented("a", 500, true), indented("a", DEEPEST, true));
}

#[test]
fn steps_that_do_not_exist_stand_in_their_level() {
    let steps = vec![
        step("route", StepState::Complete, 1, Some(3.0)),
        step("manager", StepState::InProgress, 1, None),
    ];
    let dag = vec![
        node("route", 0, &[]),
        absent("auto", 1, &["route"], Presence::NotChosen),
        node("manager", 1, &["route"]),
        absent("finalize", 2, &["auto", "manager"], Presence::Undecided),
    ];
    let text = draw(&graph(steps, dag), Look::PLAIN, Utc::now());
    let expected = "\
STEP          STATE        ATTEMPT  DURATION  AFTER
route         complete     1/3      3 ms
├ manager     in_progress  1/3                route
└ auto        not chosen                      route
  └ finalize  undecided                       auto, manager";
    assert_eq!(text, expected);
}

#[test]
fn a_batch_is_one_line_with_counts_and_progress() {
    let text = draw(&batch([9_812, 3, 0, 185], vec![]), Look::PLAIN, Utc::now());
    let expected = "\
STEP             STATE                                  PROGRESS  ATTEMPT  DURATION  AFTER
cut              complete                                         1/3      4 ms
└ count ×10,000  9,812 complete, 3 failed, 185 waiting  98 %               2.50 s    cut
  └ total        pending                                                             count";
    assert_eq!(text, expected);
}

#[test]
fn items_are_told_where_they_are_not_the_instances() {
    let mut graph = batch([2, 0, 1, 1], vec![]);
    graph.batches[0].items_done = 1_250;
    graph.batches[0].items_total = 4_000;
    let text = draw(&graph, Look::PLAIN, Utc::now());
    assert!(text.contains("2 complete, 1 running, 1 waiting  1,250 of 4,000  31 %"), "{text}");
    let none = draw(&batch([0; 4], vec![]), Look::PLAIN, Utc::now());
    assert!(none.contains("└ count ×0  no instances"), "{none}");
}

#[test]
fn instances_stand_below_their_batch_with_errors_and_checkpoints() {
    let mut failed = instance(2, StepState::Error);
    failed.error = Some(json!({"message": "bad row"}));
    let mut busy = instance(3, StepState::InProgress);
    busy.checkpoint = Some(json!({"cursor": 1500, "items_processed": 1_500, "accumulated": null}));
    let done = StepOverview { state: StepState::Complete, ..busy.clone() };
    assert!(!draw(&batch([1, 0, 0, 0], vec![done]), Look::PLAIN, Utc::now()).contains("items"));
    let text = draw(&batch([1, 1, 1, 0], vec![failed.clone(), busy]), Look::PLAIN, Utc::now());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[2].starts_with("└ count ×3 "), "{text}");
    assert!(
        lines[3].starts_with("    count_002  error ") && lines[3].ends_with("bad row"),
        "{text}"
    );
    assert!(
        lines[4].starts_with("    count_003  in_progress ") && lines[4].contains("1,500 items"),
        "{text}"
    );
    assert!(lines[5].starts_with("  └ total "), "{text}");

    let text = draw(&batch([0, 1_234, 0, 9], vec![failed]), Look::PLAIN, Utc::now());
    assert!(text.contains("\n    … 1,233 more  error\n"), "{text}");
}

#[test]
fn on_a_narrow_terminal_counts_are_symbols_and_lines_fit() {
    let mut failed = instance(2, StepState::Error);
    failed.error = Some(json!({"message": "the file ends in the midst of a row"}));
    let look = Look { terminal: true, width: Some(80) };
    for shown in [vec![], vec![failed]] {
        let text = draw(&batch([9_812, 3, 64, 121], shown), look, Utc::now());
        let text = console::strip_ansi_codes(&text);
        assert!(text.contains("✓ 9,812  ✗ 3  ● 64  ○ 121  98 %"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
