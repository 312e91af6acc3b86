//! What `--against` prints: a line a figure, with the ratio of the two builds and its spread.

use super::{BenchArgs, report::median};
use crate::{output::Look, table::Table};
use serde::Serialize;

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The more the better.
    Higher,
    /// The less the better.
    Lower,
}

/// A figure of one run.
#[derive(Debug, Clone)]
pub struct Figure {
    name: String,
    value: f64,
    better: Better,
}

impl Figure {
    /// A figure with its unit in its name.
    pub fn new(name: impl Into<String>, value: f64, better: Better) -> Self {
        Self { name: name.into(), value, better }
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    workflow: &'static str,
    mode: &'static str,
    against: String,
    /// What the columns are called.
    #[serde(skip)]
    sides: [&'static str; 2],
    postgresql: String,
    workers: u16,
    concurrency: u32,
    alternations: u16,
    figures: Vec<Line>,
}

/// One figure of all runs.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    better: Better,
    /// The median of this build.
    this: f64,
    /// The median of the other build.
    other: f64,
    /// This build by the other; none where the other has 0.
    ratio: Option<Ratio>,
}

/// Over the pairs of runs, each measured one after the other.
#[derive(Debug, Clone, Copy, Serialize)]
struct Ratio {
    median: f64,
    min: f64,
    max: f64,
}

impl Ratio {
    fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let mut ratios: Vec<f64> = pairs.iter().map(|(this, other)| this / other).collect();
        ratios.sort_by(f64::total_cmp);
        let (min, max) = (*ratios.first()?, *ratios.last()?);
        ratios.iter().all(|ratio| ratio.is_finite()).then(|| Self {
            median: median(ratios),
            min,
            max,
        })
    }
}

impl Report {
    /// The pairs of runs: this build's figures, and the other's.
    pub fn new(
        args: &BenchArgs,
        against: String,
        postgresql: String,
        pairs: &[[Vec<Figure>; 2]],
    ) -> Self {
        let first = pairs.first().map(|[this, _]| this.as_slice()).unwrap_or_default();
        let line = |(n, figure): (usize, &Figure)| {
            let values: Option<Vec<(f64, f64)>> = pairs
                .iter()
                .map(|[this, other]| Some((this.get(n)?.value, other.get(n)?.value)))
                .collect();
            let values = values?;
            Some(Line {
                name: figure.name.clone(),
                better: figure.better,
                this: median(values.iter().map(|(this, _)| *this).collect()),
                other: median(values.iter().map(|(_, other)| *other).collect()),
                ratio: Ratio::of(&values),
            })
        };
        Self {
            workflow: args.workflow.name(),
            mode: match (args.latency, args.events) {
                (true, _) => "latency",
                (false, true) => "throughput, one durable event a step",
                (false, false) => "throughput",
            },
            against,
            sides: args.language.map_or(["THIS", "OTHER"], |language| [language.title(), "RUST"]),
            postgresql,
            workers: args.workers,
            concurrency: args.concurrency,
            alternations: args.run_count(),
            figures: first.iter().enumerate().filter_map(line).collect(),
        }
    }

    /// The report for people.
    pub fn render(&self, look: Look) -> String {
        let Self {
            workflow,
            mode,
            against,
            sides: [this, other],
            postgresql,
            workers,
            concurrency,
            alternations,
            figures,
        } = self;
        let mut head = Table::pairs(look);
        head.row(["against".to_owned(), against.clone()]);
        head.row([
            "workflow".to_owned(),
            format!(
                "{workflow}, {mode}; PostgreSQL {postgresql}; {workers} worker(s) of {concurrency}"
            ),
        ]);
        let ratio = format!(
            "the first by the second: median (lowest..highest) of {alternations} pairs of runs"
        );
        head.row(["ratio".to_owned(), ratio]);
        if !figures.iter().any(|line| line.name.starts_with("CPU")) {
            let cpu = "not available: needs Linux's /proc, and the server on this host";
            head.row(["CPU", cpu]);
        }
        let mut table = Table::new(look, &["", *this, *other, "RATIO", "SPREAD", "BETTER"]);
        for line in figures {
            let (median, spread) = line.ratio.map_or((String::new(), String::new()), |ratio| {
                (format!("{:.3}", ratio.median), format!("{:.3}..{:.3}", ratio.min, ratio.max))
            });
            let better = if line.better == Better::Higher { "higher" } else { "lower" };
            let row = [line.name.clone(), amount(line.this), amount(line.other), median, spread];
            table.row(row.into_iter().chain([better.to_owned()]));
        }
        format!("{}\n\n{}", head.render(), table.render())
    }
}

/// Four digits that count, or all before the point.
fn amount(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn run(speed: f64, idle: f64) -> Vec<Figure> {
        vec![
            Figure::new("steps/s", speed, Better::Higher),
            Figure::new("idle", idle, Better::Lower),
        ]
    }

    #[test]
    fn the_ratio_is_of_pairs_and_has_its_spread() {
        let args = Line::parse_from("bench --against x --runs 3".split(' ')).args;
        // The second pair ran on a busy machine: both at half their speed.
        let pairs = [
            [run(990.0, 0.0), run(1_000.0, 0.0)],
            [run(480.0, 0.0), run(500.0, 0.0)],
            [run(1_010.0, 0.0), run(1_000.0, 0.0)],
        ];
        let report = Report::new(&args, "x".to_owned(), "15.1".to_owned(), &pairs);
        let text = report.render(Look::PLAIN);
        let line =
            |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        let words = line("steps/s");
        let words: Vec<&str> = words.split_whitespace().collect();
        assert_eq!(words, ["steps/s", "990", "1000", "0.990", "0.960..1.010", "higher"], "{text}");
        // Nothing by nothing is no ratio.
        assert!(line("idle").ends_with("lower") && report.figures[1].ratio.is_none(), "{text}");
    }
}
