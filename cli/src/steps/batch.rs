//! A batch in one line: how many instances are in which state, and how much of its items is done.

use super::Cells;
use crate::{
    labels,
    output::Look,
    units::{grouped, milliseconds},
};
use chrono::{DateTime, Utc};
use pgtasker_client::BatchOverview;

/// `count_rows ×10,000`
pub fn name(batch: &BatchOverview) -> String {
    format!("{} ×{}", batch.step, grouped(batch.instances))
}

/// The row of a batch under `name`, which is indented. It lasts from its batchable's end to its
/// last instance's.
pub fn cells(
    name: String,
    batch: &BatchOverview,
    state: String,
    after: String,
    now: DateTime<Utc>,
) -> Cells {
    let took = batch
        .created_at
        .map(|at| (batch.completed_at.unwrap_or(now) - at).num_milliseconds().max(0));
    let took = took.filter(|_| batch.instances > 0).map(|ms| milliseconds(ms as f64));
    [name, state, progress(batch), String::new(), took.unwrap_or_default(), after, String::new()]
}

/// `count_rows ×10,000  ✓ 9,812  ✗ 3  ○ 185  98 %`
pub fn line(batch: &BatchOverview, look: Look) -> String {
    format!("{}  {}  {}", name(batch), labels::batch(batch, true, look), progress(batch))
}

/// `98 %`, and before it the items, where they are not the instances: `981,200 of 1,000,000  98 %`.
fn progress(batch: &BatchOverview) -> String {
    let BatchOverview { items_done, items_total, .. } = *batch;
    // All of nothing would be neither 0 % nor 100 %.
    if items_total < 1 {
        return String::new();
    }
    let percent = i128::from(items_done) * 100 / i128::from(items_total);
    if items_total == batch.instances && items_done == batch.complete {
        return format!("{percent} %");
    }
    format!("{} of {}  {percent} %", grouped(items_done), grouped(items_total))
}
