//! The medians of all runs, as a table or JSON.

use super::{
    BenchArgs,
    cpu::Cpu,
    events::TARGET,
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
    #[serde(flatten)]
    medians: Medians,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_events: Option<Box<WithEvents>>,
    peak_rss_bytes: Vec<PeakRss>,
}

/// With one durable event a step.
#[derive(Debug, Serialize)]
struct WithEvents {
    #[serde(flatten)]
    medians: Medians,
    /// The floor ratio, of that without events in the same run.
    floor_ratio_of_without: f64,
    target_ratio: f64,
}

/// The figures of one template.
#[derive(Debug, Serialize)]
struct Medians {
    steps_per_second: f64,
    tasks_per_second: Rates,
    task_latency_ms: Percentiles,
    handover_latency_ms: Percentiles,
    statements_per_step: Option<f64>,
    commits_per_step: f64,
    wal_bytes_per_step: f64,
    cpu_seconds_per_step: Cpu,
    rows_per_step: f64,
    floor_messages_per_second: f64,
    floor_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Rates {
    excluding_enqueue: f64,
    including_enqueue: f64,
}

/// One run, and the messages a second of its floor, measured just before it.
type Run = (Figures, f64);

fn floor_ratio((figures, floor): &Run) -> f64 {
    2.0 * figures.steps_per_second() / floor
}

impl Medians {
    fn new(runs: &[Run]) -> Self {
        let of = |figure: &dyn Fn(&Figures) -> f64| {
            median(runs.iter().map(|(f, _)| figure(f)).collect())
        };
        let known = |figure: &dyn Fn(&Figures) -> Option<f64>| {
            runs.iter().map(|(f, _)| figure(f)).collect::<Option<Vec<_>>>().map(median)
        };
        let percentiles = |pick: &dyn Fn(&Figures) -> Percentiles| Percentiles {
            p50: of(&|f| pick(f).p50),
            p95: of(&|f| pick(f).p95),
            p99: of(&|f| pick(f).p99),
        };
        Self {
            steps_per_second: of(&Figures::steps_per_second),
            tasks_per_second: Rates {
                excluding_enqueue: of(&|f| f.tasks / f.excluding_enqueue.as_secs_f64()),
                including_enqueue: of(&|f| f.tasks / f.including_enqueue.as_secs_f64()),
            },
            task_latency_ms: percentiles(&|f| f.task_latency),
            handover_latency_ms: percentiles(&|f| f.handover),
            statements_per_step: known(&|f| f.statements.map(|s| s / f.steps)),
            commits_per_step: of(&|f| f.commits / f.steps),
            wal_bytes_per_step: of(&|f| f.wal_bytes / f.steps),
            cpu_seconds_per_step: Cpu {
                postgresql: known(&|f| f.cpu.postgresql.map(|seconds| seconds / f.steps)),
                orchestrator: known(&|f| f.cpu.orchestrator.map(|seconds| seconds / f.steps)),
                workers: known(&|f| f.cpu.workers.map(|seconds| seconds / f.steps)),
            },
            rows_per_step: of(&|f| f.rows / f.steps),
            floor_messages_per_second: median(runs.iter().map(|(_, floor)| *floor).collect()),
            floor_ratio: median(runs.iter().map(floor_ratio).collect()),
        }
    }

    /// For people: what it is, and the value.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let three =
            |p: &Percentiles| format!("p50 {:.1}   p95 {:.1}   p99 {:.1}", p.p50, p.p95, p.p99);
        let Rates { excluding_enqueue, including_enqueue } = &self.tasks_per_second;
        vec![
            ("steps/s", format!("{:.0}", self.steps_per_second)),
            (
                "tasks/s",
                format!(
                    "{excluding_enqueue:.0} excluding enqueue, {including_enqueue:.0} including"
                ),
            ),
            ("task latency, ms", three(&self.task_latency_ms)),
            ("hand-over latency, ms", three(&self.handover_latency_ms)),
            (
                "statements/step",
                self.statements_per_step.map_or_else(
                    || "unknown: needs pg_stat_statements".into(),
                    |s| format!("{s:.3}"),
                ),
            ),
            ("commits/step", format!("{:.3}", self.commits_per_step)),
            ("WAL bytes/step", format!("{:.0}", self.wal_bytes_per_step)),
            ("CPU µs/step", microseconds(&self.cpu_seconds_per_step)),
            ("rows written/step", format!("{:.1}", self.rows_per_step)),
            ("floor, messages/s", format!("{:.0}", self.floor_messages_per_second)),
            ("floor ratio", format!("{:.2}", self.floor_ratio)),
        ]
    }
}

impl Report {
    /// Takes the medians: of the runs without events, and of those with events where there are any.
    pub fn new(
        args: &BenchArgs,
        tasks: u32,
        postgresql: String,
        runs: &[Vec<Run>],
        peak_rss_bytes: Vec<PeakRss>,
    ) -> Self {
        let without = runs.first().map(Vec::as_slice).unwrap_or_default();
        let with_events = runs.get(1).map(|with| {
            Box::new(WithEvents {
                medians: Medians::new(with),
                floor_ratio_of_without: median(
                    with.iter()
                        .zip(without)
                        .map(|(with, without)| floor_ratio(with) / floor_ratio(without))
                        .collect(),
                ),
                target_ratio: TARGET,
            })
        });
        Self {
            workflow: args.workflow.name(),
            mode: if args.latency { "latency" } else { "throughput" },
            postgresql,
            tasks,
            steps_per_task: args.workflow.steps(),
            workers: args.workers,
            concurrency: args.concurrency,
            runs: args.run_count(),
            medians: Medians::new(without),
            with_events,
            peak_rss_bytes,
        }
    }

    /// The report for people.
    pub fn render(&self, look: Look) -> String {
        let mut head = Table::pairs(look);
        let Self {
            workflow,
            steps_per_task,
            tasks,
            mode,
            postgresql,
            workers,
            concurrency,
            runs,
            ..
        } = self;
        head.row([
            "workflow".to_owned(),
            format!(
                "{workflow} x {steps_per_task} steps, {tasks} tasks, {mode}; PostgreSQL \
                 {postgresql}; \
                 {workers} worker(s) of {concurrency}; median of {runs}"
            ),
        ]);
        for peak in &self.peak_rss_bytes {
            head.row([
                format!("peak memory, {}", peak.process),
                format!("{:.1} MB", peak.bytes as f64 / 1e6),
            ]);
        }
        let Some(with) = &self.with_events else {
            for (name, value) in self.medians.rows() {
                head.row([name.to_owned(), value]);
            }
            return head.render();
        };
        let mut table = Table::new(look, &["", "WITHOUT EVENTS", "ONE DURABLE EVENT A STEP"]);
        for ((name, without), (_, with)) in self.medians.rows().into_iter().zip(with.medians.rows())
        {
            table.row([name.to_owned(), without, with]);
        }
        let share = format!(
            "{:.2} of that without; the target is {TARGET:.2}",
            with.floor_ratio_of_without
        );
        table.row(["".to_owned(), String::new(), share]);
        format!("{}\n\n{}", head.render(), table.render())
    }
}

/// For people: CPU seconds a step as microseconds, by who used them.
pub fn microseconds(cpu: &Cpu) -> String {
    let micros =
        |seconds: Option<f64>| seconds.map_or("?".to_owned(), |s| format!("{:.0}", s * 1e6));
    let Cpu { postgresql, orchestrator, workers } = cpu;
    let each = format!("workers {}, orchestrator {}", micros(*workers), micros(*orchestrator));
    match (postgresql, workers) {
        (_, None) => "not available: needs Linux's /proc".to_owned(),
        (None, _) => format!("{each}; PostgreSQL not available: it is not on this host"),
        _ => format!("PostgreSQL {}, {each}", micros(*postgresql)),
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
