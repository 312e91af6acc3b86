//! Traces: exports the spans of a task that no worker has: the task itself, its enqueueing,
//! initializing, and finalizing. From what the database has kept of it, once it has ended; so that
//! no call on its way does anything for its trace.

use crate::actor::{Actor, Called};
use pgtasker_core::{Result, connection::OwnConnection, failpoint};
use pgtasker_telemetry::{KeyValue, Place, SpanKind, TaskSpan, Tracing};
use sqlx::types::chrono::{DateTime, Utc};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// Between two looks when nothing more has ended.
const EVERY: Duration = Duration::from_secs(1);
/// Tasks in one call at most.
const BATCH: usize = 100;
/// Spans of one task, at most.
const SPANS: usize = 5;

/// The actor behind the tasks' own spans; of several orchestrators, one at a time reads.
pub(crate) struct Traces {
    connection: OwnConnection,
    tracing: &'static Tracing,
}

/// A row of `tasker.ended_tasks`.
#[derive(Debug, sqlx::FromRow)]
struct Ended {
    task_id: Uuid,
    namespace: String,
    name: String,
    version: String,
    state: String,
    correlation_id: Uuid,
    traceparent: Option<String>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finalizing_at: DateTime<Utc>,
    completed_at: DateTime<Utc>,
    resumed_at: Option<DateTime<Utc>>,
}

impl Traces {
    pub(crate) fn new(connection: OwnConnection, tracing: &'static Tracing) -> Self {
        Self { connection, tracing }
    }
}

impl Actor for Traces {
    const NAME: &'static str = "traces";

    async fn call(&mut self) -> Result<Called> {
        // What finds no room would be dropped: it waits in the database instead.
        let max = (self.tracing.room() / SPANS).min(BATCH);
        if max == 0 {
            return Ok(Called::handled(0));
        }
        let read = i32::try_from(max).unwrap_or(i32::MAX);
        let ended: Vec<Ended> = self
            .connection
            .call(async |connection| {
                sqlx::query_as(
                    "select task_id, namespace, name, version, state::text, correlation_id, \
                     traceparent, error, created_at, \
                     started_at, finalizing_at, completed_at, resumed_at from \
                     tasker.ended_tasks($1)",
                )
                .bind(read)
                .fetch_all(connection)
                .await
            })
            .await?;
        if !ended.is_empty() {
            failpoint::reach("traces.after_call");
        }
        for task in &ended {
            let trace = self.tracing.task(task.task_id, task.traceparent.as_deref());
            if trace.is_sampled() {
                task.spans().into_iter().for_each(|span| self.tracing.export(&trace, span));
            }
        }
        Ok(Called { handled: ended.len() as u64, more: ended.len() == max })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(EVERY).await;
    }
}

impl Ended {
    /// A task that was begun again after an error has its own span once more, now to its last end,
    /// and one that says so.
    fn spans(&self) -> Vec<TaskSpan> {
        let name = format!("{}.{}", self.namespace, self.name);
        let (created, completed) = (self.created_at, self.completed_at);
        let failed = self.state == "error";
        let error =
            failed.then(|| self.error.clone().unwrap_or_else(|| "the task failed".to_owned()));
        let mut task = self.span(Place::Root, &format!("task {name}"), created, completed);
        task.error.clone_from(&error);
        task.attributes.extend([
            KeyValue::new("namespace", self.namespace.clone()),
            KeyValue::new("template", self.name.clone()),
            KeyValue::new("version", self.version.clone()),
            KeyValue::new("state", self.state.clone()),
        ]);
        let child = |name: &str| Place::Child(name.to_owned());
        let mut enqueue = self.span(child("enqueue"), "enqueue", created, created);
        enqueue.kind = SpanKind::Producer;
        let mut spans = vec![task, enqueue];
        if let Some(started) = self.started_at {
            let mut initialize = self.span(child("initialize"), "initialize", created, started);
            initialize.kind = SpanKind::Consumer;
            spans.push(initialize);
        }
        if let Some(resumed) = self.resumed_at {
            let place = child(&format!("resumed {}", resumed.timestamp_micros()));
            spans.push(TaskSpan { error, ..self.span(place, "resumed", resumed, completed) });
        }
        let place = child(&format!("finalize {}", completed.timestamp_micros()));
        spans.push(self.span(place, "finalize", self.finalizing_at, completed));
        spans
    }

    fn span(&self, place: Place, name: &str, start: DateTime<Utc>, end: DateTime<Utc>) -> TaskSpan {
        TaskSpan {
            place,
            name: name.to_owned(),
            kind: SpanKind::Internal,
            start: SystemTime::from(start),
            end: SystemTime::from(end),
            attributes: vec![
                KeyValue::new("task_id", self.task_id.to_string()),
                KeyValue::new("correlation_id", self.correlation_id.to_string()),
            ],
            error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(state: &str, resumed_at: Option<i64>) -> Ended {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        Ended {
            task_id: Uuid::now_v7(),
            namespace: "shop".to_owned(),
            name: "order".to_owned(),
            version: "1".to_owned(),
            state: state.to_owned(),
            correlation_id: Uuid::now_v7(),
            traceparent: None,
            error: (state == "error").then(|| "no luck".to_owned()),
            created_at: at(10),
            started_at: Some(at(11)),
            finalizing_at: at(14),
            completed_at: at(15),
            resumed_at: resumed_at.map(at),
        }
    }

    #[test]
    fn a_task_has_a_span_and_one_for_each_of_its_phases() {
        let spans = ended("complete", None).spans();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["task shop.order", "enqueue", "initialize", "finalize"]);
        assert!(spans.iter().all(|span| span.error.is_none()));
        let seconds: Vec<u64> =
            spans.iter().map(|s| s.end.duration_since(s.start).unwrap().as_secs()).collect();
        assert_eq!(seconds, [5, 0, 1, 1]);
    }

    #[test]
    fn a_task_that_failed_says_why_and_one_begun_again_says_when() {
        let spans = ended("error", Some(12)).spans();
        let failed: Vec<_> =
            spans.iter().filter(|s| s.error.is_some()).map(|s| s.name.as_str()).collect();
        assert_eq!(
            (failed.as_slice(), spans.len()),
            (["task shop.order", "resumed"].as_slice(), SPANS)
        );
        assert_eq!(spans[0].error.as_deref(), Some("no luck"));
    }
}
