//! What a run found and what the engine did for it. Figures are of this run's tasks only, from the
//! audit.

use super::{Report, Run, Strikes, TOTAL_COST};
use crate::Result;
use serde::Serialize;
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

/// A run in figures; `tasker demo --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The correlation id of the run's tasks.
    pub run: Uuid,
    /// How many.
    pub tasks: i64,
    /// In all tasks.
    pub steps: i64,
    /// From the first task's enqueueing to the last one's completion.
    pub elapsed_seconds: f64,
    /// Over that time, enqueueing included.
    pub steps_per_second: f64,
    /// From the moment the last parent's result was stored to the moment the child was claimed.
    /// With all tasks enqueued at once, most of it is the child's turn in the queue.
    pub handover_ms: Percentiles,
    /// The engine's part of it: until the child was sent to its queue.
    pub unblock_ms: Percentiles,
    /// In all reports.
    pub strikes: i64,
    /// Dollars, of all reports.
    pub total_cost: i64,
    /// Dollars, added up over the file directly.
    pub file_cost: i64,
    /// Reports that are not what plain Rust finds in the file; 0 in a sound run.
    pub wrong_reports: usize,
    /// Highest cost first.
    pub top: Vec<Report>,
}

/// How a time is spread, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them are shorter.
    pub p50: f64,
    /// 95 % of them are shorter.
    pub p95: f64,
}

impl Summary {
    /// Whether workflow, file, and the known total agree.
    pub fn agrees(&self) -> bool {
        self.total_cost == self.file_cost
            && self.total_cost == TOTAL_COST
            && self.wrong_reports == 0
    }
}

/// Sums up a completed run, with its `top` costliest reports.
///
/// # Errors
/// Database errors, and an unreadable file.
pub async fn summarize(pool: &PgPool, run: &Run, top: usize) -> Result<Summary> {
    let file = Strikes::all()?;
    let mut reports: Vec<Report> = sqlx::query_scalar(
        "select tasker.task_result(t.task_id) -> 'report' from unnest($1::uuid[]) t(task_id)",
    )
    .bind(&run.tasks)
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(|Json(report)| report)
    .collect();
    let (tasks, steps, elapsed_seconds, p50, p95, unblock_p50, unblock_p95): (
        i64,
        i64,
        f64,
        f64,
        f64,
        f64,
        f64,
    ) = sqlx::query_as(include_str!("sql/figures.sql")).bind(&run.tasks).fetch_one(pool).await?;
    let is_wrong = |r: &&Report| Report::direct(file, &r.airport, r.year).as_ref() != Some(*r);
    let wrong_reports = reports.iter().filter(is_wrong).count();
    let total_cost = reports.iter().map(|report| report.cost).sum();
    let strikes = reports.iter().map(|report| report.strikes).sum();
    reports.sort_by(|a, b| {
        b.cost.cmp(&a.cost).then_with(|| (&a.airport, a.year).cmp(&(&b.airport, b.year)))
    });
    reports.truncate(top);
    Ok(Summary {
        run: run.id,
        tasks,
        steps,
        elapsed_seconds,
        steps_per_second: steps as f64 / elapsed_seconds.max(f64::EPSILON),
        handover_ms: Percentiles { p50, p95 },
        unblock_ms: Percentiles { p50: unblock_p50, p95: unblock_p95 },
        strikes,
        total_cost,
        file_cost: file.iter().map(|strike| strike.cost_total).sum(),
        wrong_reports,
        top: reports,
    })
}
