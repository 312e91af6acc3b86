//! The steps of a task as a table that shows the graph: indented by level, with what each waits
//! for. Steps of the template that do not exist are greyed; a batch is one line, and its instances
//! below it where they are few.

mod batch;
#[cfg(test)]
mod tests;

pub use batch::line as batch_line;

use crate::{
    labels,
    output::Look,
    table::{GAP, Table},
    units::{grouped, milliseconds, relative},
};
use chrono::{DateTime, Utc};
use pgtasker_client::{BatchOverview, DagRow, StepOverview, StepState, TaskGraph};
use serde_json::Value;
use std::collections::HashMap;

/// How many instances of a batch are shown by default: all of a smaller batch, else at most this
/// many in error.
pub const FEW: u32 = 10;
/// Deeper levels are not indented any further: a long chain would leave no room.
const DEEPEST: i32 = 12;
/// What an error has to have room for, in columns of the terminal.
const ERROR_WIDTH: usize = 30;

const HEADINGS: [&str; 7] = ["STEP", "STATE", "PROGRESS", "ATTEMPT", "DURATION", "AFTER", "ERROR"];
const PROGRESS: usize = 2;
/// What stands before this column is never wrapped.
const AFTER: usize = 5;
const ERROR: usize = 6;
/// Columns to leave out where a batch has no room, in this order.
const LEAST: [usize; 3] = [AFTER, 3, 4];

/// The cells of a row, those of columns that are left out too.
type Cells = [String; HEADINGS.len()];

/// A row of the table, and whether it is greyed.
type Line = (Cells, bool);

/// What a line stands for.
enum Row<'a> {
    Step(&'a StepOverview),
    Batch(&'a BatchOverview),
    Absent(&'a DagRow),
}

/// The table. Within a level, steps are in the order given, and those that do not exist come last.
/// What is too wide is wrapped, and for a batch, which has the longest lines, first told by symbols
/// and then without some columns.
pub fn draw(graph: &TaskGraph, look: Look, now: DateTime<Utc>) -> String {
    let mut shown = [true; HEADINGS.len()];
    shown[ERROR] =
        graph.steps.iter().any(|step| step.error.is_some() || step.waiting_for.is_some());
    let checkpoints = graph.steps.iter().any(|step| checkpoint(step).is_some());
    shown[PROGRESS] = checkpoints || !graph.batches.is_empty();
    let mut rows = lines(graph, false, look, now);
    if !graph.batches.is_empty() && !fits(&rows, shown, look) {
        rows = lines(graph, true, look, now);
        for column in LEAST {
            shown[column] &= fits(&rows, shown, look);
        }
    }
    let cells = |cells: Cells| -> Vec<String> {
        cells.into_iter().zip(shown).filter_map(|(cell, shown)| shown.then_some(cell)).collect()
    };
    let headings = cells(HEADINGS.map(str::to_owned));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let wraps_from = shown[..AFTER].iter().filter(|&&shown| shown).count();
    let mut table = Table::new(look, &headings).wrap_from(wraps_from.min(headings.len() - 1));
    for (row, is_dim) in rows {
        if is_dim { table.dim_row(cells(row)) } else { table.row(cells(row)) }
    }
    table.render()
}

/// Whether nothing has to be wrapped but long errors.
fn fits(lines: &[Line], shown: [bool; HEADINGS.len()], look: Look) -> bool {
    let width = |column: usize| {
        let cells = lines.iter().map(|(cells, _)| console::measure_text_width(&cells[column]));
        let longest = cells.max().unwrap_or(0).max(HEADINGS[column].len());
        if column == ERROR { longest.min(ERROR_WIDTH) } else { longest }
    };
    let columns = (0..HEADINGS.len()).filter(|&column| shown[column]);
    look.width.is_none_or(|limit| {
        columns.map(|column| width(column) + GAP).sum::<usize>() <= usize::from(limit) + GAP
    })
}

/// Every line of the table; `short`: batches by symbols.
fn lines(graph: &TaskGraph, short: bool, look: Look, now: DateTime<Utc>) -> Vec<Line> {
    let nodes = nodes(&graph.dag);
    let after =
        |name: &str| nodes.get(name).map(|node| node.parents.join(", ")).unwrap_or_default();
    let rows = rows(graph, &nodes);
    let mut lines = Vec::new();
    for (n, (level, row)) in rows.iter().enumerate() {
        let is_last = rows.get(n + 1).is_none_or(|(next, _)| next != level);
        let name = |name: &str| indented(name, *level, is_last);
        match row {
            Row::Step(step) => {
                lines.push((of_step(name(&step.step), step, after(&step.step), look, now), false));
            }
            Row::Absent(node) => {
                lines.push((of_absent(name(&node.template_step), node, look), true))
            }
            Row::Batch(batch) => {
                let state = labels::batch(batch, short, look);
                let cells =
                    batch::cells(name(&batch::name(batch)), batch, state, after(&batch.step), now);
                lines.push((cells, false));
                lines.extend(of_instances(graph, batch, *level, look, now));
            }
        }
    }
    lines
}

/// What stands below the line of a batch.
fn of_instances(
    graph: &TaskGraph,
    batch: &BatchOverview,
    level: i32,
    look: Look,
    now: DateTime<Utc>,
) -> Vec<Line> {
    let margin = format!("{:width$}", "", width = 2 * level.clamp(0, DEEPEST) as usize + 2);
    let is_its = |step: &&StepOverview| step.instance.is_some() && step.template_step == batch.step;
    let instances: Vec<_> = graph.steps.iter().filter(is_its).collect();
    let line = |step: &&StepOverview| {
        (of_step(format!("{margin}{}", step.step), step, String::new(), look, now), false)
    };
    let mut lines: Vec<Line> = instances.iter().map(line).collect();
    let failed = instances.iter().filter(|step| step.state == StepState::Error).count() as i64;
    if batch.failed > failed && failed > 0 {
        let more = format!("{margin}… {} more", grouped(batch.failed - failed));
        lines.push((row_of(more, labels::step(StepState::Error, false, look)), true));
    }
    lines
}

/// By the names in the task and by those of the template.
fn nodes(dag: &[DagRow]) -> HashMap<&str, &DagRow> {
    dag.iter()
        .flat_map(|node| [(node.template_step.as_str(), node), (node.step.as_str(), node)])
        .collect()
}

/// Every line with its level, but for the instances of batches.
fn rows<'a>(graph: &'a TaskGraph, nodes: &HashMap<&str, &DagRow>) -> Vec<(i32, Row<'a>)> {
    let level = |name: &str| nodes.get(name).map_or(0, |node| node.level);
    let is_batch = |name: &str| graph.batches.iter().any(|batch| batch.step == name);
    let steps = graph.steps.iter().filter(|step| step.instance.is_none());
    let steps = steps.map(|step| (level(&step.step), Row::Step(step)));
    let batches = graph.batches.iter().map(|batch| (level(&batch.step), Row::Batch(batch)));
    let absent =
        graph.dag.iter().filter(|node| node.state.is_none() && !is_batch(&node.template_step));
    let absent = absent.map(|node| (node.level, Row::Absent(node)));
    let mut rows: Vec<_> = steps.chain(batches).chain(absent).collect();
    // Stable: what has the same level stays in its order.
    rows.sort_by_key(|(level, _)| *level);
    rows
}

fn row_of(name: String, state: String) -> Cells {
    let mut cells = Cells::default();
    [cells[0], cells[1]] = [name, state];
    cells
}

fn of_step(
    name: String,
    step: &StepOverview,
    after: String,
    look: Look,
    now: DateTime<Utc>,
) -> Cells {
    [
        name,
        state(step, look, now),
        checkpoint(step).map(|items| format!("{} items", grouped(items))).unwrap_or_default(),
        if step.attempt > 0 {
            format!("{}/{}", step.attempt, step.max_attempts)
        } else {
            String::new()
        },
        step.duration_ms.map(milliseconds).unwrap_or_default(),
        after,
        step.waiting_for
            .clone()
            .or_else(|| step.error.as_ref().map(error_text))
            .unwrap_or_default(),
    ]
}

/// Items by its checkpoint. Complete, a step has done all of them, which its last checkpoint does
/// not say.
fn checkpoint(step: &StepOverview) -> Option<i64> {
    let is_done = matches!(step.state, StepState::Complete | StepState::ResolvedManually);
    step.items_processed().filter(|_| !is_done)
}

fn of_absent(name: String, node: &DagRow, look: Look) -> Cells {
    let mut cells = row_of(name, labels::absent(node.presence, look));
    cells[AFTER] = node.parents.join(", ");
    cells
}

fn indented(name: &str, level: i32, is_last: bool) -> String {
    let branch = if is_last { '└' } else { '├' };
    match level.clamp(0, DEEPEST) {
        0 => name.to_owned(),
        level => format!("{:width$}{branch} {name}", "", width = 2 * (level as usize - 1)),
    }
}

/// The state of a step, and when it runs again.
pub fn state(step: &StepOverview, look: Look, now: DateTime<Utc>) -> String {
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
