//! Gauges of the queues, read from the view `tasker.queue_overview`. Reading counts every waiting
//! message, so it is done every few seconds by the orchestrator, not by every process.

use metrics::{Unit, describe_gauge, gauge};
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
    /// Steps that wait beside the queue, as some live worker lacks their handler.
    pub parked: i64,
    /// Ready steps that wait in tables for the queue, which is paused or limited.
    pub held: i64,
    /// Whether its namespace is paused.
    pub paused: bool,
}

/// The columns of [`QueueDepth`].
type Row = (String, i64, i64, Option<f64>, i64, i64, bool);

/// Says what the gauges of [`refresh_queue_gauges`] mean. Repeating it changes nothing.
pub fn describe() {
    describe_gauge!("tasker_queue_depth", Unit::Count, "Messages in the queue, claimed ones too");
    describe_gauge!(
        "tasker_queue_visible",
        Unit::Count,
        "Messages in the queue that nobody has claimed"
    );
    describe_gauge!(
        "tasker_queue_oldest_age_seconds",
        Unit::Seconds,
        "Age of the oldest message in the queue, 0 when it is empty"
    );
    describe_gauge!(
        "tasker_queue_parked",
        Unit::Count,
        "Steps parked beside the queue, because some live worker lacks their handler"
    );
    describe_gauge!(
        "tasker_queue_held",
        Unit::Count,
        "Ready steps held back: the namespace is paused or limited"
    );
    describe_gauge!("tasker_queue_paused", "1: the namespace is paused");
}

/// Reads all queues and sets the gauges `tasker_queue_depth`, `tasker_queue_visible`,
/// `tasker_queue_parked`, `tasker_queue_held`, `tasker_queue_paused`, and
/// `tasker_queue_oldest_age_seconds` (0 when empty), each with the label `queue`.
///
/// # Errors
/// The view cannot be read.
pub async fn refresh_queue_gauges(
    executor: impl PgExecutor<'_>,
) -> Result<Vec<QueueDepth>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select queue::text, depth::bigint, visible::bigint, oldest_age_seconds::float8, parked, \
         held, paused_at is not null
           from tasker.queue_overview",
    )
    .fetch_all(executor)
    .await?;
    let queues = rows.into_iter().map(
        |(queue, depth, visible, oldest_age_seconds, parked, held, paused)| QueueDepth {
            queue,
            depth,
            visible,
            oldest_age_seconds,
            parked,
            held,
            paused,
        },
    );
    Ok(queues.inspect(set_gauges).collect())
}

fn set_gauges(of: &QueueDepth) {
    let gauge = |name: &'static str| gauge!(name, "queue" => of.queue.clone());
    gauge("tasker_queue_depth").set(of.depth as f64);
    gauge("tasker_queue_visible").set(of.visible as f64);
    gauge("tasker_queue_oldest_age_seconds").set(of.oldest_age_seconds.unwrap_or(0.0));
    gauge("tasker_queue_parked").set(of.parked as f64);
    gauge("tasker_queue_held").set(of.held as f64);
    gauge("tasker_queue_paused").set(f64::from(u8::from(of.paused)));
}
