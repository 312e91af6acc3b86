//! The medians of all runs, as a table or JSON.

use super::{
    BenchArgs,
    processes::PeakRss,
    run::{Figures, Percentiles},
};
use crate::{output::Look, table::Table};
use serde::Serialize;

/// What `--json` prints. Every figure is the median of the runs.
#[derive(Debug, Serialize)]
pub struct Report {
    workflow: &'static str,
    mode: &'static str,
    postgresql: String,
    tasks: u32,
    steps_per_task: u32,
    workers: u16,
    concurrency: u32,
    runs: u16,
    steps_per_second: f64,
    tasks_per_second: Rates,
    task_latency_ms: Percentiles,
    handover_latency_ms: Percentiles,
    statements_per_step: Option<f64>,
    commits_per_step: f64,
    wal_bytes_per_step: f64,
    rows_per_step: f64,
    peak_rss_bytes: Vec<PeakRss>,
    floor_messages_per_second: f64,
    floor_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Rates {
    excluding_enqueue: f64,
    including_enqueue: f64,
}

impl Report {
    /// Takes the medians. Each run has its floor, measured just before it.
    pub fn new(
        args: &BenchArgs,
        tasks: u32,
        postgresql: String,
        runs: &[(Figures, f64)],
        peak_rss_bytes: Vec<PeakRss>,
    ) -> Self {
        let of = |figure: &dyn Fn(&Figures) -> f64| median(runs.iter().map(|(f, _)| figure(f)).collect());
        let percentiles = |pick: &dyn Fn(&Figures) -> Percentiles| Percentiles {
            p50: of(&|f| pick(f).p50),
            p95: of(&|f| pick(f).p95),
            p99: of(&|f| pick(f).p99),
        };
        Self {
            workflow: args.workflow.name(),
            mode: if args.latency { "latency" } else { "throughput" },
            postgresql,
            tasks,
            steps_per_task: args.workflow.steps(),
            workers: args.workers,
            concurrency: args.concurrency,
            runs: args.run_count(),
            steps_per_second: of(&Figures::steps_per_second),
            tasks_per_second: Rates {
                excluding_enqueue: of(&|f| f.tasks / f.excluding_enqueue.as_secs_f64()),
                including_enqueue: of(&|f| f.tasks / f.including_enqueue.as_secs_f64()),
            },
            task_latency_ms: percentiles(&|f| f.task_latency),
            handover_latency_ms: percentiles(&|f| f.handover),
            statements_per_step: runs
                .iter()
                .map(|(f, _)| f.statements.map(|s| s / f.steps))
                .collect::<Option<Vec<_>>>()
                .map(median),
            commits_per_step: of(&|f| f.commits / f.steps),
            wal_bytes_per_step: of(&|f| f.wal_bytes / f.steps),
            rows_per_step: of(&|f| f.rows / f.steps),
            peak_rss_bytes,
            floor_messages_per_second: median(runs.iter().map(|(_, floor)| *floor).collect()),
            floor_ratio: median(runs.iter().map(|(f, floor)| 2.0 * f.steps_per_second() / floor).collect()),
        }
    }

    /// The report for people.
    pub fn render(&self, look: Look) -> String {
        let mut table = Table::pairs(look);
        let three = |p: &Percentiles| format!("p50 {:.1}   p95 {:.1}   p99 {:.1}", p.p50, p.p95, p.p99);
        let mut row = |name: &str, value: String| {
            table.row([name.to_owned(), value]);
        };
        row(
            "workflow",
            format!(
                "{} x {} steps, {} tasks, {}; PostgreSQL {}; {} worker(s) of {}; median of {}",
                self.workflow,
                self.steps_per_task,
                self.tasks,
                self.mode,
                self.postgresql,
                self.workers,
                self.concurrency,
                self.runs
            ),
        );
        row("steps/s", format!("{:.0}", self.steps_per_second));
        row(
            "tasks/s",
            format!(
                "{:.0} excluding enqueue, {:.0} including",
                self.tasks_per_second.excluding_enqueue, self.tasks_per_second.including_enqueue
            ),
        );
        row("task latency, ms", three(&self.task_latency_ms));
        row("hand-over latency, ms", three(&self.handover_latency_ms));
        row(
            "statements/step",
            self.statements_per_step
                .map_or_else(|| "unknown: needs pg_stat_statements".into(), |s| format!("{s:.3}")),
        );
        row("commits/step", format!("{:.3}", self.commits_per_step));
        row("WAL bytes/step", format!("{:.0}", self.wal_bytes_per_step));
        row("rows written/step", format!("{:.1}", self.rows_per_step));
        for peak in &self.peak_rss_bytes {
            row(&format!("peak memory, {}", peak.process), format!("{:.1} MB", peak.bytes as f64 / 1e6));
        }
        row("floor, messages/s", format!("{:.0}", self.floor_messages_per_second));
        row("floor ratio", format!("{:.2}", self.floor_ratio));
        table.render()
    }
}

/// The middle of the values; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_an_even_number_is_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
