//! Real data: one task for each airport and year of birdstrikes.csv loads its rows into a table,
//! looks at them in three ways at once, and reports. `tasker demo` runs it.

mod data;
mod handlers;
mod report;
mod run;
mod summary;

pub use data::{DataError, Strike, Strikes};
pub use handlers::register;
pub use report::{Report, expected};
pub use run::{ENQUEUE_ONE, Progress, Run, enqueue, install, start, wait};
pub use summary::{Percentiles, Summary, summarize};

/// The template file.
pub const TEMPLATE: &str = include_str!("../../templates/strikes.yaml");
/// The template's, and so its queue's.
pub const NAMESPACE: &str = "strikes";
/// What all strikes of the file cost, in dollars.
pub const TOTAL_COST: i64 = 40_545_276;
