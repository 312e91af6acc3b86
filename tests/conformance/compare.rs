//! Whether answers are as they should be.

use crate::{scenario::Scenario, script::Ran};
use std::collections::BTreeMap;

/// By the scenarios' names.
pub type Answers = BTreeMap<String, Ran>;

/// Rust's: every line that the scenario expects, in order; one that ends with an ellipsis is the
/// beginning of a longer one. What is wrong, for people.
pub fn with_expected(scenario: &Scenario, answer: &Result<String, String>) -> Option<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => return Some(problem.clone()),
    };
    let mut lines = answer.lines();
    let missing = scenario.expect.lines().find(|expected| match expected.strip_suffix('…') {
        Some(beginning) => !lines.any(|line| line.starts_with(beginning)),
        None => !lines.any(|line| line == *expected),
    });
    missing.map(|line| format!("expected, but not there or not in this place: {line}\n{answer}"))
}

/// A language's: the same as Rust's, or what the scenario says instead.
pub fn with_reference(
    scenario: &Scenario,
    family: &str,
    rust: Option<&Ran>,
    answer: &Result<String, String>,
) -> Option<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => return Some(problem.clone()),
    };
    let reference = match (scenario.instead.get(family), rust) {
        (Some(instead), _) => instead,
        (None, None) => &scenario.expect,
        (None, Some(Ran { answer: Ok(rust), .. })) => rust,
        // It is among the failures already.
        (None, Some(_)) => return None,
    };
    let reference = reference.trim_end();
    (answer != reference).then(|| format!("{}\n--- and here\n{answer}", told(reference)))
}

fn told(reference: &str) -> String {
    format!("--- the reference\n{reference}")
}
