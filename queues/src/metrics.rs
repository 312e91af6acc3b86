//! Gauges of the queues, read from the view `tasker.queue_overview`. Reading counts every waiting
//! message, so it is done every few seconds by the orchestrator, not by every process.

use sqlx::PgExecutor;

/// One queue as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueDepth {
    /// Its name.
    pub queue: String,
    /// Messages in it, claimed ones too.
    pub depth: i64,
    /// Messages that could be read now.
    pub visible: i64,
    /// Age of the oldest message in seconds; `None` when it is empty.
    pub oldest_age_seconds: Option<f64>,
}

/// Reads all queues and sets the gauges `tasker_queue_depth`, `tasker_queue_visible`, and
/// `tasker_queue_oldest_age_seconds` (0 when empty), each with the label `queue`.
///
/// # Errors
/// The view cannot be read.
pub async fn refresh_queue_gauges(executor: impl PgExecutor<'_>) -> Result<Vec<QueueDepth>, sqlx::Error> {
    let rows: Vec<(String, i64, i64, Option<f64>)> = sqlx::query_as(
        "select queue::text, depth::bigint, visible::bigint, oldest_age_seconds::float8 from tasker.queue_overview",
    )
    .fetch_all(executor)
    .await?;
    let queues = rows.into_iter().map(|(queue, depth, visible, oldest_age_seconds)| QueueDepth {
        queue,
        depth,
        visible,
        oldest_age_seconds,
    });
    Ok(queues.inspect(set_gauges).collect())
}

fn set_gauges(of: &QueueDepth) {
    metrics::gauge!("tasker_queue_depth", "queue" => of.queue.clone()).set(of.depth as f64);
    metrics::gauge!("tasker_queue_visible", "queue" => of.queue.clone()).set(of.visible as f64);
    metrics::gauge!("tasker_queue_oldest_age_seconds", "queue" => of.queue.clone())
        .set(of.oldest_age_seconds.unwrap_or(0.0));
}
