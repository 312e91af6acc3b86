//! Refreshes the gauges of unfinished tasks and their steps, and counts the tasks that have
//! finished. What is read grows with the unfinished tasks, never with the finished ones.

use crate::{
    actor::{Actor, Called},
    meters::read_now,
};
use metrics::{counter, gauge, histogram};
use pgtasker_core::{Result, connection::OwnConnection, pooler::DbConnection};
use sqlx::FromRow;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

/// Between two readings, at least.
const INTERVAL: Duration = Duration::from_secs(15);
/// A reading may take this part of the time: with very many unfinished tasks they become rarer.
const SHARE: u32 = 50;
/// Templates with labels of their own, the first that are seen, those with most tasks first. The
/// others share `(other)`.
const MAX_TEMPLATES: usize = 100;
const OTHER: &str = "(other)";
/// States in which a task has finished.
const FINISHED: [&str; 4] = ["cancelled", "complete", "error", "resolved_manually"];

/// Upper bounds of the buckets of `tasker_task_seconds`, in seconds.
pub const TASK_SECONDS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0,
    86_400.0,
];

/// A row of `tasker.open_task_counts`; the state is null where a template has no unfinished tasks.
#[derive(Debug, FromRow)]
struct Open {
    namespace: String,
    template: String,
    state: Option<String>,
    tasks: i64,
    oldest_move_seconds: Option<f64>,
    waiting: i64,
    held: i64,
    waiting_for_retry: i64,
    active: i64,
    failed: i64,
}

/// A row of `tasker.take_finished_counts`.
#[derive(Debug, FromRow)]
struct Finished {
    namespace: String,
    template: String,
    state: String,
    tasks: i64,
    seconds: f64,
}

/// Namespace and template as labels.
type Template = (String, String);

/// The actor that reads.
pub(crate) struct TaskGauges {
    connection: OwnConnection,
    wait: Duration,
    /// How long the last reading took.
    took: Duration,
    templates: Templates,
    /// Gauges that were set and may have to go back to zero: metric, template, state.
    set: HashSet<(&'static str, Template, String)>,
}

impl TaskGauges {
    pub(crate) fn new(connection: OwnConnection) -> Self {
        Self {
            connection,
            wait: INTERVAL,
            took: Duration::ZERO,
            templates: Templates::default(),
            set: HashSet::new(),
        }
    }

    fn show_open(&mut self, rows: &[Open]) {
        let mut values: Vec<(&'static str, Template, String, f64)> = Vec::new();
        for row in rows {
            let template = self.templates.label(&row.namespace, &row.template);
            let Some(state) = &row.state else { continue };
            let task = |name| (name, template.clone(), state.clone());
            let (name, template, state) = task("tasker_tasks");
            values.push((name, template, state, row.tasks as f64));
            let (name, template, state) = task("tasker_task_oldest_move_seconds");
            values.push((name, template.clone(), state, row.oldest_move_seconds.unwrap_or(0.0)));
            for (state, steps) in [
                ("waiting", row.waiting),
                ("held", row.held),
                ("waiting_for_retry", row.waiting_for_retry),
                ("active", row.active),
                ("failed", row.failed),
            ] {
                values.push(("tasker_steps", template.clone(), state.to_owned(), steps as f64));
            }
        }
        let mut now: HashMap<_, f64> = HashMap::new();
        for (name, template, state, value) in values {
            let sum = now.entry((name, template, state)).or_default();
            // Ages of several templates under one label: the oldest counts.
            *sum = if name == "tasker_task_oldest_move_seconds" {
                sum.max(value)
            } else {
                *sum + value
            };
        }
        // What is not there any more would stay as it was.
        for gone in self.set.iter().filter(|key| !now.contains_key(*key)) {
            set(gone, 0.0);
        }
        for (key, value) in &now {
            set(key, *value);
        }
        self.set.extend(now.into_keys());
    }

    fn count_finished(&mut self, rows: &[Finished]) {
        for row in rows {
            let (namespace, template) = self.templates.label(&row.namespace, &row.template);
            let tasks = u64::try_from(row.tasks).unwrap_or(0);
            finished(&namespace, &template, &row.state).increment(tasks);
            if row.state == "complete" && tasks > 0 {
                // Their mean lies in their bucket, and times their number it is their sum.
                let mean = row.seconds / tasks as f64;
                seconds(&namespace, &template)
                    .record_many(mean, usize::try_from(tasks).unwrap_or(0));
            }
        }
    }
}

impl Actor for TaskGauges {
    const NAME: &'static str = "task_gauges";

    async fn call(&mut self) -> Result<Called> {
        let started = Instant::now();
        let open = self.connection.call(open).await?;
        self.show_open(&open);
        let finished = self.connection.call(take_finished).await?;
        self.count_finished(&finished);
        read_now("tasks");
        // Two in a row: the first on a new connection, or one beside a checkpoint, says little.
        let before = std::mem::replace(&mut self.took, started.elapsed());
        self.wait = INTERVAL.max(self.took.min(before) * SHARE);
        Ok(Called { handled: open.len() as u64, more: false })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.wait).await;
    }
}

async fn open(connection: &mut DbConnection<'_>) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as(
        "select namespace, template, state, tasks, oldest_move_seconds, waiting, held, \
         waiting_for_retry, active, failed
           from tasker.open_task_counts()",
    )
    .fetch_all(connection)
    .await
}

async fn take_finished(connection: &mut DbConnection<'_>) -> sqlx::Result<Vec<Finished>> {
    sqlx::query_as(
        "select namespace, template, state, tasks, seconds from tasker.take_finished_counts($1)",
    )
    .bind(TASK_SECONDS)
    .fetch_all(connection)
    .await
}

fn set((name, (namespace, template), state): &(&'static str, Template, String), value: f64) {
    gauge!(
        *name,
        "namespace" => namespace.clone(),
        "template" => template.clone(),
        "state" => state.clone()
    )
    .set(value);
}

fn finished(namespace: &str, template: &str, state: &str) -> metrics::Counter {
    counter!(
        "tasker_tasks_finished_total",
        "namespace" => namespace.to_owned(),
        "template" => template.to_owned(),
        "state" => state.to_owned()
    )
}

fn seconds(namespace: &str, template: &str) -> metrics::Histogram {
    histogram!(
        "tasker_task_seconds",
        "namespace" => namespace.to_owned(),
        "template" => template.to_owned()
    )
}

/// Which templates have labels of their own. Never forgets one: a counter must not go over to
/// another label.
#[derive(Debug, Default)]
struct Templates(BTreeSet<Template>);

impl Templates {
    /// The labels of a template; those of a new one begin at zero, so that its first tasks show in
    /// rates.
    fn label(&mut self, namespace: &str, template: &str) -> Template {
        let own = (namespace.to_owned(), template.to_owned());
        if self.0.contains(&own) {
            return own;
        }
        let label =
            if self.0.len() < MAX_TEMPLATES { own } else { (OTHER.to_owned(), OTHER.to_owned()) };
        if self.0.len() <= MAX_TEMPLATES && self.0.insert(label.clone()) {
            for state in FINISHED {
                finished(&label.0, &label.1, state).increment(0);
            }
            drop(seconds(&label.0, &label.1));
        }
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_templates_have_their_own_labels_for_ever_and_all_others_share_one() {
        let mut templates = Templates::default();
        for n in 0..MAX_TEMPLATES * 3 {
            templates.label("shop", &format!("t{n}"));
        }
        let other = (OTHER.to_owned(), OTHER.to_owned());
        assert_eq!(templates.label("shop", "t0"), ("shop".to_owned(), "t0".to_owned()));
        assert_eq!(templates.label("shop", &format!("t{MAX_TEMPLATES}")), other);
        assert_eq!(
            templates.label("bank", "t0"),
            other,
            "a name of another namespace is another template"
        );
        assert_eq!(templates.0.len(), MAX_TEMPLATES + 1);
    }
}
