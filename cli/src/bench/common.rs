//! What all benchmarks share: their errors, their templates, and the bar of their progress.

use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;
use std::{io::IsTerminal, time::Duration};

/// Any error of a benchmark; the text is for people.
pub type BenchError = Box<dyn std::error::Error + Send + Sync>;

/// How long the processes may take to come up.
pub const COMING_UP: Duration = Duration::from_secs(20);

/// Makes this template the current one.
pub async fn apply(pool: &PgPool, template: serde_json::Value) -> Result<(), BenchError> {
    sqlx::query("select created from tasker.apply_template($1)")
        .bind(template)
        .execute(pool)
        .await?;
    Ok(())
}

/// The version of the server.
pub async fn server_version(pool: &PgPool) -> Result<String, BenchError> {
    Ok(sqlx::query_scalar("select current_setting('server_version')").fetch_one(pool).await?)
}

/// The bar for `runs` runs, on a terminal.
pub fn progress(runs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} run {pos}/{len} {wide_bar} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(runs).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
