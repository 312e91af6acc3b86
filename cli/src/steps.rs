//! The steps of a task as a table that shows the graph: indented by level, with what each waits for.

use crate::{
    labels,
    output::Look,
    table::Table,
    units::{milliseconds, relative},
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::HashMap;
use tasker_core::{
    StepState,
    client::{DagRow, StepOverview},
};

/// Deeper levels are not indented any further: a long chain would leave no room.
const DEEPEST: i32 = 12;

/// The table. Steps are in the order given; the graph gives their levels and parents.
pub fn draw(steps: &[StepOverview], dag: &[DagRow], look: Look, now: DateTime<Utc>) -> String {
    let nodes: HashMap<&str, &DagRow> = dag.iter().map(|node| (node.step.as_str(), node)).collect();
    let errors = steps.iter().any(|step| step.error.is_some());
    let mut headings = vec!["STEP", "STATE", "ATTEMPT", "DURATION", "AFTER"];
    headings.extend(errors.then_some("ERROR"));
    let mut table = Table::new(look, &headings).wrap_from(4);
    let level = |step: &StepOverview| nodes.get(step.step.as_str()).map_or(0, |node| node.level);
    for (n, step) in steps.iter().enumerate() {
        let node = nodes.get(step.step.as_str());
        let is_last = steps.get(n + 1).is_none_or(|next| level(next) != level(step));
        let mut cells = vec![
            indented(&step.step, level(step), is_last),
            state(step, look, now),
            if step.attempt > 0 { format!("{}/{}", step.attempt, step.max_attempts) } else { String::new() },
            step.duration_ms.map(milliseconds).unwrap_or_default(),
            node.map(|node| node.parents.join(", ")).unwrap_or_default(),
        ];
        cells.extend(errors.then(|| step.error.as_ref().map(error_text).unwrap_or_default()));
        table.row(cells);
    }
    table.render()
}

fn indented(name: &str, level: i32, is_last: bool) -> String {
    let branch = if is_last { '└' } else { '├' };
    match level.clamp(0, DEEPEST) {
        0 => name.to_owned(),
        level => format!("{:width$}{branch} {name}", "", width = 2 * (level as usize - 1)),
    }
}

fn state(step: &StepOverview, look: Look, now: DateTime<Utc>) -> String {
    let waits = step.state == StepState::Pending && step.waiting_on == 0;
    let label = labels::step(step.state, waits && step.error.is_some(), look);
    match step.available_at.filter(|at| waits && *at > now) {
        Some(at) => format!("{label} {}", relative(at, now)),
        None => label,
    }
}

/// An error of a step or a task in words.
pub fn error_text(error: &Value) -> String {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let mut words = match text("message") {
        Some(message) => message.trim().to_owned(),
        None => error.to_string(),
    };
    if let Some(step) = text("step") {
        words = format!("{step}: {words}");
    }
    match text("code") {
        Some(code) => format!("{words} ({code})"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use serde_json::json;
    use uuid::Uuid;

    fn step(name: &str, state: StepState, attempt: i32, duration_ms: Option<f64>) -> StepOverview {
        StepOverview {
            task_id: Uuid::nil(),
            step: name.to_owned(),
            template_step: name.to_owned(),
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
        }
    }

    fn node(name: &str, level: i32, parents: &[&str]) -> DagRow {
        DagRow {
            task_id: Uuid::nil(),
            step: name.to_owned(),
            state: StepState::Pending,
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
            children: Vec::new(),
            level,
        }
    }

    fn diamond() -> Vec<DagRow> {
        vec![
            node("reserve", 0, &[]),
            node("charge", 1, &["reserve"]),
            node("pack", 1, &["reserve"]),
            node("ship", 2, &["charge", "pack"]),
        ]
    }

    #[test]
    fn a_diamond_is_drawn_by_level_with_its_dependencies() {
        let steps = [
            step("reserve", StepState::Complete, 1, Some(12.4)),
            step("charge", StepState::Complete, 2, Some(1_240.0)),
            step("pack", StepState::InProgress, 1, None),
            step("ship", StepState::Pending, 0, None),
        ];
        let text = draw(&steps, &diamond(), Look::PLAIN, Utc::now());
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
        let text = draw(&[retries, failed], &diamond(), Look::PLAIN, now);
        assert!(text.contains("pending in 3 s  1/3      5 ms      reserve  timeout"), "{text}");
        assert!(text.contains("no box (E1)"), "{text}");
    }

    #[test]
    fn a_long_chain_stays_within_the_page() {
        assert_eq!(indented("a", 0, true), "a");
        assert_eq!(indented("a", 500, true), indented("a", DEEPEST, true));
    }
}
