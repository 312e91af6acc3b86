//! `--events`: the same graph where each step publishes one durable event, measured in the same
//! runs as without.

use super::{BenchError, workflow::Workflow};
use serde_json::{Value, json};
use sqlx::PgPool;

/// What the floor ratio with events should be at least, of that without.
pub const TARGET: f64 = 0.70;
/// What is published.
const NAME: &str = "bench.step_done";

/// The name of the template with events.
pub fn template(workflow: Workflow) -> String {
    format!("{}_events", workflow.name())
}

/// The template, as `tasker.apply_template` takes it.
pub fn definition(workflow: Workflow, namespace: &str) -> Value {
    let mut definition = workflow.definition(namespace);
    definition["name"] = json!(template(workflow));
    for step in definition["steps"].as_array_mut().into_iter().flatten() {
        step["publishes_events"] = json!([{"name": NAME, "delivery": "durable"}]);
    }
    definition
}

/// Empties the queue of the events, which nothing consumes: the engine would warn of them.
pub async fn clean(pool: &PgPool, namespace: &str) -> Result<(), BenchError> {
    sqlx::query(
        "select pgmq.purge_queue(q.queue) from tasker.queue_overview q where q.namespace \
        = $1 and q.kind = 'events'",
    )
    .bind(namespace)
    .execute(pool)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_publishes_one_durable_event() {
        let definition = definition(Workflow::Diamond, "bench_1");
        let steps = definition["steps"].as_array().unwrap();
        assert_eq!((&definition["name"], steps.len()), (&json!("diamond_events"), 4));
        for step in steps {
            assert_eq!(step["publishes_events"], json!([{"name": NAME, "delivery": "durable"}]));
        }
    }
}
