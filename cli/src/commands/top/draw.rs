//! A look as text, for a page or for a screen of any size.

use super::snapshot::{NEWEST, Rates, Snapshot, Tasks, View};
use crate::{
    commands::worker,
    output::{Look, safe},
    table::Table,
    units::{grouped, local, milliseconds, relative},
};
use chrono::Utc;
use console::style;
use pgtasker_client::{DeadLetterStatus, QueueKind, QueueOverview};
use std::time::Duration;

/// On a terminal, of any width: what is too long is cut, not wrapped.
const SCREEN: Look = Look { terminal: true, width: None };
/// Lines of a table without which it says nothing: a heading, a row, and how many more there are.
const FEWEST: usize = 3;

/// The lines above the tables.
pub struct Title {
    /// What is looked at.
    pub target: String,
    /// Between two looks.
    pub interval: Duration,
    /// Why the last look failed, and since when they do.
    pub trouble: Option<String>,
}

/// All of it, for a file or a pipe.
pub fn page(view: &View, look: Look) -> String {
    let Some(latest) = view.latest() else { return String::new() };
    let queues: Vec<&QueueOverview> = latest.queues.iter().collect();
    let mut parts =
        vec![summary(latest, view.rates()).join("\n"), queue_table(&queues, view.rates(), look)];
    match latest.workers.is_empty() {
        true => parts.push("no workers".to_owned()),
        false => parts.push(worker::table(&latest.workers, look).render()),
    }
    parts.join("\n\n")
}

/// At most `height` lines of at most `width` columns.
pub fn screen(title: &Title, view: &View, width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![head(title, view)];
    match (&title.trouble, view.latest()) {
        (Some(trouble), _) => lines.push(style(format!("✗ {}", safe(trouble))).red().to_string()),
        (None, None) => lines.push("looking …".to_owned()),
        (None, Some(_)) => {}
    }
    if let Some(latest) = view.latest() {
        lines.extend(summary(latest, view.rates()));
        // A blank line before each table.
        let room = height.saturating_sub(lines.len() + 2);
        lines.extend(tables(latest, view.rates(), room));
    }
    lines.truncate(height);
    lines.iter().map(|line| console::truncate_str(line, width, "…").into_owned()).collect()
}

fn head(title: &Title, view: &View) -> String {
    let every = milliseconds(title.interval.as_secs_f64() * 1000.0);
    let at = view.latest().map(|latest| format!("{}  ", local(latest.at))).unwrap_or_default();
    let name = style("tasker top").bold();
    format!("{name}  {at}{}  {}", title.target, style(format!("every {every}, q ends")).dim())
}

fn summary(latest: &Snapshot, rates: Option<&Rates>) -> Vec<String> {
    let rates = match rates {
        Some(Rates { tasks, steps, .. }) => {
            format!("{} tasks/s enqueued, {} steps/s sent", rate(*tasks), rate(*steps))
        }
        None => "with the next look".to_owned(),
    };
    let (events, work): (Vec<_>, Vec<_>) =
        latest.queues.iter().partition(|queue| queue.kind == QueueKind::Events);
    let depth = |queues: &[&QueueOverview]| grouped(queues.iter().map(|queue| queue.depth).sum());
    let held: i64 = latest.queues.iter().map(|queue| queue.held).sum();
    let alive = latest.workers.iter().filter(|worker| worker.alive);
    let busy: i64 = alive.clone().filter_map(|worker| worker.in_flight).sum();
    let most: i64 = alive.clone().filter_map(|worker| worker.concurrency).sum();
    vec![
        format!("rates         {rates}"),
        format!(
            "queues        {} waiting, {} held{}",
            depth(&work),
            grouped(held),
            match events.is_empty() {
                true => String::new(),
                false => format!("; {} domain events", depth(&events)),
            }
        ),
        format!(
            "workers       {} alive, {} of {} busy",
            alive.count(),
            grouped(busy),
            grouped(most)
        ),
        format!("tasks         {}", tasks(&latest.tasks)),
        format!("dead letters  {}", dead_letters(latest)),
    ]
}

/// With a digit behind the point where that says something.
fn rate(rate: f64) -> String {
    if rate >= 99.95 { grouped(rate.round() as i64) } else { format!("{rate:.1}") }
}

fn tasks(tasks: &Tasks) -> String {
    let counts = [
        (tasks.unfinished, "unfinished"),
        (tasks.complete, "complete"),
        (tasks.failed, "failed"),
        (tasks.blocked, "blocked"),
        (tasks.cancelled, "cancelled"),
    ];
    let counts: Vec<_> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", grouped(*n)))
        .collect();
    match (counts.is_empty(), tasks.newest >= i64::from(NEWEST)) {
        (true, _) => "none in the last hour".to_owned(),
        (false, false) => format!("{} in the last hour", counts.join(", ")),
        (false, true) => format!("{} of the newest {}", counts.join(", "), grouped(tasks.newest)),
    }
}

fn dead_letters(latest: &Snapshot) -> String {
    let pending =
        latest.dead_letters.iter().filter(|count| count.status == DeadLetterStatus::Pending);
    let reasons: Vec<_> = pending
        .clone()
        .map(|count| format!("{} {}", grouped(count.entries), count.reason))
        .collect();
    match pending.map(|count| count.oldest).min() {
        Some(oldest) => {
            format!("{}; the oldest {}", reasons.join(", "), relative(oldest, Utc::now()))
        }
        None => "none pending".to_owned(),
    }
}

/// Both tables in `room` lines, and a blank line before each.
fn tables(latest: &Snapshot, rates: Option<&Rates>, room: usize) -> Vec<String> {
    let (queues, workers) = (latest.queues.len() + 1, latest.workers.len() + 1);
    let (for_queues, for_workers) = match queues + workers {
        all if all <= room => (queues, workers),
        // The shorter one whole, if it leaves the other half.
        _ if queues <= room / 2 => (queues, room - queues),
        _ if workers <= room / 2 => (room - workers, workers),
        _ => (room - room / 2, room / 2),
    };
    let mut lines = Vec::new();
    if for_queues >= FEWEST.min(queues) {
        lines.push(String::new());
        lines.extend(queue_lines(latest, rates, for_queues));
    }
    if for_workers >= FEWEST.min(workers) {
        lines.push(String::new());
        lines.extend(worker_lines(latest, for_workers));
    }
    lines
}

/// How many rows have room below a heading, and the line for the others.
fn fit(rows: usize, room: usize) -> (usize, Option<String>) {
    if rows < room {
        return (rows, None);
    }
    let shown = room.saturating_sub(2);
    (shown, Some(style(format!("… {} more", rows - shown)).dim().to_string()))
}

fn queue_lines(latest: &Snapshot, rates: Option<&Rates>, room: usize) -> Vec<String> {
    let (shown, more) = fit(latest.queues.len(), room);
    let mut queues: Vec<&QueueOverview> = latest.queues.iter().collect();
    if more.is_some() {
        // Those that matter.
        queues.sort_by_key(|queue| std::cmp::Reverse(queue.depth + queue.held));
        queues.truncate(shown);
    }
    let text = queue_table(&queues, rates, SCREEN);
    text.lines().map(str::to_owned).chain(more).collect()
}

fn worker_lines(latest: &Snapshot, room: usize) -> Vec<String> {
    if latest.workers.is_empty() {
        return vec!["no workers".to_owned()];
    }
    let (shown, more) = fit(latest.workers.len(), room);
    let mut workers = latest.workers.clone();
    if more.is_some() {
        // Those that are gone, then the busiest.
        workers.sort_by_key(|worker| (worker.alive, std::cmp::Reverse(worker.in_flight)));
        workers.truncate(shown);
    }
    let text = worker::table(&workers, SCREEN).render();
    text.lines().map(str::to_owned).chain(more).collect()
}

fn queue_table(queues: &[&QueueOverview], rates: Option<&Rates>, look: Look) -> String {
    let head = ["QUEUE", "DEPTH", "OLDEST", "SENT/S", "HELD", "LIMIT", "PAUSED"];
    let mut table = Table::new(look, &head).wrap_from(7).keep(4);
    for queue in queues {
        let paused = queue.paused_at.map(|at| {
            let reason = queue.pause_reason.as_deref().unwrap_or_default();
            format!("{} {reason}", relative(at, Utc::now())).trim_end().to_owned()
        });
        table.row([
            queue.queue.clone(),
            grouped(queue.depth),
            queue.oldest_age_seconds.map(|s| milliseconds(s * 1000.0)).unwrap_or_default(),
            rates
                .and_then(|rates| rates.queues.get(&queue.queue))
                .map(|n| rate(*n))
                .unwrap_or_default(),
            if queue.held > 0 { grouped(queue.held) } else { String::new() },
            queue.max_depth.map(|limit| grouped(limit.into())).unwrap_or_default(),
            paused.unwrap_or_default(),
        ]);
    }
    table.render()
}

#[cfg(test)]
#[path = "draw_tests.rs"]
pub(super) mod tests;
