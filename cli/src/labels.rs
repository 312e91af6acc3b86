//! How states look: a symbol and a colour on a terminal, the bare name elsewhere.

use crate::{output::Look, units::grouped};
use console::Style;
use pgtasker_client::{BatchOverview, Presence};
use pgtasker_core::{StepState, TaskState};

const GOOD: char = '✓';
const BAD: char = '✗';
const BUSY: char = '●';
const QUEUED: char = '◌';
const WAITING: char = '○';
const RETRY: char = '↻';
const OFF: char = '⊘';
const ABSENT: char = '·';

/// The state of a task.
pub fn task(state: TaskState, look: Look) -> String {
    let symbol = match state {
        TaskState::Complete | TaskState::ResolvedManually => GOOD,
        TaskState::Error | TaskState::BlockedByFailures => BAD,
        TaskState::Cancelled => OFF,
        TaskState::Pending | TaskState::WaitingForDependencies => WAITING,
        TaskState::WaitingForRetry => RETRY,
        TaskState::Initializing
        | TaskState::EnqueuingSteps
        | TaskState::StepsInProcess
        | TaskState::EvaluatingResults => BUSY,
        TaskState::Unknown => ABSENT,
    };
    label(symbol, state.as_str(), look)
}

/// The state of a step; `retries`: it has failed and waits for its next attempt.
pub fn step(state: StepState, retries: bool, look: Look) -> String {
    let symbol = match state {
        StepState::Complete | StepState::ResolvedManually => GOOD,
        StepState::Error => BAD,
        StepState::Cancelled => OFF,
        StepState::InProgress | StepState::EnqueuedForOrchestration => BUSY,
        StepState::Enqueued => QUEUED,
        StepState::Pending if retries => RETRY,
        StepState::Pending => WAITING,
        StepState::Unknown => ABSENT,
    };
    label(symbol, state.as_str(), look)
}

/// A step that does not exist; the line it stands in is greyed.
pub fn absent(presence: Presence, look: Look) -> String {
    let words = match presence {
        Presence::NotChosen => "not chosen",
        Presence::Undecided => "undecided",
        // A step of a batch for which no cursors were given.
        Presence::Exists => "no instances",
    };
    label(ABSENT, words, look)
}

/// How many instances of a batch are in which state; `short`: by their symbols only.
pub fn batch(batch: &BatchOverview, short: bool, look: Look) -> String {
    let counts = [
        (GOOD, batch.complete, "complete"),
        (BAD, batch.failed, "failed"),
        (OFF, batch.cancelled, "cancelled"),
        (BUSY, batch.running, "running"),
        (WAITING, batch.waiting, "waiting"),
    ];
    let counts = counts.iter().filter(|(_, n, _)| *n > 0);
    if short && look.terminal {
        let counts: Vec<_> =
            counts.map(|(symbol, n, _)| format!("{symbol} {}", grouped(*n))).collect();
        return if counts.is_empty() {
            label(GOOD, "no instances", look)
        } else {
            counts.join("  ")
        };
    }
    let words: Vec<_> = counts.map(|(_, n, word)| format!("{} {word}", grouped(*n))).collect();
    // While it goes on that is what it does, whatever has failed.
    let symbol = match batch {
        _ if batch.running > 0 => BUSY,
        _ if batch.waiting > 0 => WAITING,
        _ if batch.failed > 0 => BAD,
        _ if batch.complete == batch.instances => GOOD,
        _ => OFF,
    };
    match words.is_empty() {
        true => label(symbol, "no instances", look),
        false => label(symbol, &words.join(", "), look),
    }
}

/// The time of a worker's last heartbeat; `alive`: it is recent.
pub fn seen(alive: bool, when: &str, look: Look) -> String {
    match (look.terminal, alive) {
        (true, true) => format!("{GOOD} {when}"),
        (true, false) => format!("{BAD} {when}"),
        (false, true) => when.to_owned(),
        (false, false) => format!("{when}, not alive"),
    }
}

fn label(symbol: char, name: &str, look: Look) -> String {
    if look.terminal { format!("{symbol} {name}") } else { name.to_owned() }
}

/// Colours the labels in a text that has been laid out: colour codes before would count as width.
pub fn paint(text: &str) -> String {
    let mut painted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find([GOOD, BAD, BUSY, QUEUED, WAITING, RETRY, OFF]) {
        let (before, from) = rest.split_at(at);
        let end = from
            .char_indices()
            .skip(2)
            .find(|(_, c)| !c.is_ascii_lowercase() && *c != '_')
            .map_or(from.len(), |(end, _)| end);
        let (label, after) = from.split_at(end);
        painted.push_str(before);
        painted.push_str(&style_of(label).apply_to(label).to_string());
        rest = after;
    }
    painted.push_str(rest);
    painted
}

fn style_of(label: &str) -> Style {
    let style = Style::new();
    match label.chars().next() {
        Some(GOOD) => style.green(),
        Some(BAD) => style.red(),
        Some(BUSY) => style.cyan(),
        Some(RETRY) => style.yellow(),
        _ => style.dim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Look = Look { terminal: true, width: Some(80) };

    #[test]
    fn symbols_are_for_terminals() {
        assert_eq!(task(TaskState::Complete, TERMINAL), "✓ complete");
        assert_eq!(task(TaskState::Complete, Look::PLAIN), "complete");
        assert_eq!(step(StepState::Pending, true, TERMINAL), "↻ pending");
    }

    #[test]
    fn painting_changes_nothing_but_colours() {
        let text = "  a  ✓ complete   1/3\n  b  ✗ error      ○\n● in_progress";
        assert_eq!(console::strip_ansi_codes(&paint(text)), text);
        let forced = Style::new().green().force_styling(true).apply_to("✓ complete").to_string();
        assert!(forced.contains("\u{1b}[32m"));
    }
}
