//! What `--workflow batch` prints: a line for each number of instances, medians of all runs.

use super::{
    BenchArgs,
    batch::{Figures, Run},
    processes::PeakRss,
    report::median,
    workflow::Workflow,
};
use crate::{output::Look, table::Table, units::grouped};
use serde::Serialize;

/// Steps a second of the instances, of those of the linear benchmark.
const TARGET: f64 = 0.70;

/// What `--json` prints. Every figure is the median of the runs.
#[derive(Debug, Serialize)]
pub struct Report {
    workflow: &'static str,
    postgresql: String,
    workers: u16,
    concurrency: u32,
    runs: u16,
    linear: Linear,
    target_ratio: f64,
    batches: Vec<Batch>,
    peak_rss_bytes: Vec<PeakRss>,
}

/// The linear benchmark, measured in the same runs.
#[derive(Debug, Serialize)]
struct Linear {
    tasks: u32,
    steps_per_task: u32,
    steps_per_second: f64,
}

/// Tasks with one number of instances.
#[derive(Debug, Serialize)]
struct Batch {
    instances: u32,
    created_ms: f64,
    created_us_per_instance: f64,
    steps_per_second: f64,
    linear_ratio: f64,
    task_ms: f64,
    task_us_per_instance: f64,
    wal_bytes_per_step: f64,
    cpu_seconds_per_step: Option<f64>,
    /// From the run in which it is furthest from 1.
    convergence_runs: i64,
}

impl Report {
    /// Takes the medians; a ratio is of one run.
    pub fn new(
        args: &BenchArgs,
        tasks: u32,
        postgresql: String,
        runs: &[Run],
        peak_rss_bytes: Vec<PeakRss>,
    ) -> Self {
        let batch = |(n, instances): (usize, u32)| {
            let of = |figure: &dyn Fn(&Figures, f64) -> f64| {
                median(runs.iter().map(|run| figure(&run.batches[n], run.linear)).collect())
            };
            let each = |ms: f64| ms * 1000.0 / f64::from(instances);
            let cpu = runs.iter().map(|run| run.batches[n].cpu.total()).collect::<Option<Vec<_>>>();
            let (created_ms, task_ms) = (of(&|f, _| f.created_ms), of(&|f, _| f.task_ms));
            let convergences = runs.iter().map(|run| run.batches[n].convergences);
            Batch {
                instances,
                created_ms,
                created_us_per_instance: each(created_ms),
                steps_per_second: of(&|f, _| f.steps_per_second),
                linear_ratio: of(&|f, linear| f.steps_per_second / linear),
                task_ms,
                task_us_per_instance: each(task_ms),
                wal_bytes_per_step: of(&|f, _| f.wal_bytes),
                cpu_seconds_per_step: cpu.map(median),
                convergence_runs: convergences
                    .max_by_key(|runs| (runs - 1).abs())
                    .unwrap_or_default(),
            }
        };
        Self {
            workflow: Workflow::Batch.name(),
            postgresql,
            workers: args.workers,
            concurrency: args.concurrency,
            runs: args.run_count(),
            linear: Linear {
                tasks,
                steps_per_task: Workflow::Linear.steps(),
                steps_per_second: median(runs.iter().map(|run| run.linear).collect()),
            },
            target_ratio: TARGET,
            batches: args.sizes().into_iter().enumerate().map(batch).collect(),
            peak_rss_bytes,
        }
    }

    /// The report for people.
    pub fn render(&self, look: Look) -> String {
        let Self { postgresql, workers, concurrency, runs, linear, .. } = self;
        let mut head = Table::pairs(look);
        let mut row = |name: &str, value: String| head.row([name.to_owned(), value]);
        row(
            "workflow",
            format!(
                "one batchable, its no-op instances, one convergence; PostgreSQL {postgresql}; \
                 {workers} worker(s) of {concurrency}; median of {runs}"
            ),
        );
        let Linear { tasks, steps_per_task, steps_per_second } = linear;
        let linear = format!(
            "{steps_per_second:.0} ({tasks} tasks x {steps_per_task} steps, in the same runs)"
        );
        row("linear, steps/s", linear);
        for peak in &self.peak_rss_bytes {
            row(
                &format!("peak memory, {}", peak.process),
                format!("{:.1} MB", peak.bytes as f64 / 1e6),
            );
        }
        row(
            "created",
            "from the batchable's stored result to the first claim of an instance".to_owned(),
        );
        row("steps/s", "of the instances, from that claim to the last completion".to_owned());
        row("of linear", format!("the target is {TARGET:.2}"));
        row("task", "from enqueueing it to its completion".to_owned());
        row("CPU", "of PostgreSQL, the orchestrator, and the workers".to_owned());
        format!("{}\n\n{}", head.render(), self.table(look))
    }

    fn table(&self, look: Look) -> String {
        let headings = [
            "INSTANCES",
            "CREATED, ms",
            "µs EACH",
            "STEPS/S",
            "OF LINEAR",
            "TASK, s",
            "µs EACH",
            "WAL/STEP",
            "CPU µs/STEP",
            "CONVERGENCE",
        ];
        let mut table = Table::new(look, &headings);
        for batch in &self.batches {
            table.row([
                grouped(batch.instances.into()),
                format!("{:.1}", batch.created_ms),
                format!("{:.1}", batch.created_us_per_instance),
                format!("{:.0}", batch.steps_per_second),
                format!("{:.2}", batch.linear_ratio),
                format!("{:.2}", batch.task_ms / 1000.0),
                format!("{:.0}", batch.task_us_per_instance),
                format!("{:.0}", batch.wal_bytes_per_step),
                batch
                    .cpu_seconds_per_step
                    .map_or("?".to_owned(), |seconds| format!("{:.0}", seconds * 1e6)),
                match batch.convergence_runs {
                    1 => "once".to_owned(),
                    n => format!("{n} times"),
                },
            ]);
        }
        table.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{args::INSTANCES, cpu::Cpu};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn run(linear: f64, created_ms: f64, steps_per_second: f64, convergences: i64) -> Run {
        let cpu = Cpu { postgresql: Some(1e-4), orchestrator: Some(2e-5), workers: Some(3e-5) };
        let (task_ms, wal_bytes) = (2_000.0, 4_500.0);
        let figures =
            Figures { created_ms, steps_per_second, task_ms, convergences, wal_bytes, cpu };
        Run { linear, batches: vec![figures] }
    }

    #[test]
    fn growth_and_the_share_of_linear_are_seen_at_a_glance() {
        let line = "bench --workflow batch --instances 10000 --runs 3";
        let args = Line::parse_from(line.split(' ')).args;
        let runs = [
            run(8_000.0, 400.0, 6_400.0, 1),
            run(4_000.0, 500.0, 4_000.0, 1),
            run(9_000.0, 900.0, 4_500.0, 1),
        ];
        let report = Report::new(&args, 2_500, "15.1".to_owned(), &runs, Vec::new());
        let text = report.render(Look::PLAIN);
        assert!(
            text.contains("linear, steps/s  8000 (2500 tasks x 4 steps, in the same runs)"),
            "{text}"
        );
        let line = text.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(
            line,
            ["10,000", "500.0", "50.0", "4500", "0.80", "2.00", "200", "4500", "150", "once"],
            "{text}"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["batches"][0]["instances"], &json["target_ratio"]),
            (&10_000.into(), &0.7.into())
        );
    }

    #[test]
    fn a_convergence_that_ran_twice_in_one_of_the_runs_is_told() {
        let args = Line::parse_from("bench --workflow batch --instances 10".split(' ')).args;
        let runs = [run(1.0, 1.0, 1.0, 1), run(1.0, 1.0, 1.0, 2), run(1.0, 1.0, 1.0, 1)];
        let report = Report::new(&args, 1, "15.1".to_owned(), &runs, Vec::new());
        assert!(report.render(Look::PLAIN).ends_with("2 times"));
    }

    #[test]
    fn what_is_measured_where_nothing_is_said() {
        let args = Line::parse_from("bench --workflow batch".split(' ')).args;
        assert_eq!((args.sizes(), args.run_count()), (INSTANCES.to_vec(), 3));
        assert_eq!(Line::parse_from(["bench"]).args.run_count(), 5);
    }
}
