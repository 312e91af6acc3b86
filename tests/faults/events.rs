//! Domain events: what the steps declare, and that the queue had exactly the events of accepted
//! results: each once, and none of a result that was refused or never came.

use crate::bystander::Answers;
use pgtasker_examples::transfer;
use serde_json::{Value, json};
use sqlx::PgPool;

/// What a handler publishes itself.
pub const PART: &str = "part.done";
/// So many of it with each of its results; events_expected.sql knows.
pub const PARTS: u64 = 2;
/// In the queue, and told in the worker's own process.
pub const BROADCAST: &str = "step.ended";

/// A violation a row.
const QUERIES: &[&str] = &[
    "select case when x.n is null then format('event %s of claim %s of step %s of task %s, whose \
     result was not accepted, or not as that', name, claim_no, step, task_id)
                 when y.n is null then format('no event %s of claim %s of step %s of task %s, \
                 whose result was accepted', name, claim_no, step, task_id)
                 else format('%s events %s of claim %s of step %s of task %s instead of one', \
                 y.n, name, claim_no, step, task_id) end
            || case when part > 0 then format(' (part %s)', part) else '' end
       from (select task_id, step, claim_no, name, part, count(*) as n from faults.expected group \
       by 1, 2, 3, 4, 5) x
       full join (select task_id, step, claim_no, name, part, count(*) as n from faults.seen \
       group by 1, 2, 3, 4, 5) y using (task_id, step, claim_no, name, part)
      where x.n is distinct from y.n",
    "select format('event %s (%s of task %s) was consumed %s times', event_id, min(name), \
     min(task_id::text), count(*)) from faults.seen group by event_id having count(*) > 1",
    "select format('event %s of step %s of task %s says %s, the result is %s', e.name, e.step, \
     e.task_id, e.payload, s.result)
       from faults.seen e join tasker.steps s on s.task_id = e.task_id and s.name = e.step and \
       s.claim_no = e.claim_no
      where s.state = 'complete' and e.name in ('step.done', 'step.ended') and e.payload -> \
      'submission' is null and e.payload is distinct from s.result",
    "select format('event %s of claim %s of step %s of task %s was told %s times in a worker''s \
     process, and %s times in the queue', h.event_id, h.claim_no, h.step, h.task_id, h.n, s.n)
       from (select event_id, task_id, step, claim_no, count(*) as n from faults.heard group by \
       1, 2, 3, 4) h
      cross join lateral (select count(*) as n from faults.seen e where e.event_id = h.event_id) s
      where (h.n, s.n) <> (1, 1)",
];

/// Submissions that were answered as duplicate or stale.
const REFUSED: &str = "select format('the result of submission %s was refused, and its event %s \
    of claim %s of step %s of task %s was sent', r, e.name, e.claim_no, e.step, e.task_id)
   from faults.seen e join unnest($1::uuid[]) r on e.payload ->> 'submission' = r::text";

/// What a step with this handler declares: every accepted result but a checkpoint has one event;
/// where work is done in parts, every result has those of its parts besides.
pub fn declared(handler: &str) -> Value {
    let mut events = vec![
        json!({"name": "step.done"}),
        json!({"name": "step.failed", "condition": "failure"}),
        json!({"name": "step.again", "condition": "retry"}),
    ];
    match handler {
        "slow" => {
            events =
                vec![json!({"name": BROADCAST, "condition": "always", "delivery": "broadcast"})]
        }
        "parts" => events.push(json!({"name": PART})),
        _ => {}
    }
    Value::Array(events)
}

/// Tables, and the transfer with events, in whose namespace the helper consumes.
pub async fn install(pool: &PgPool) {
    sqlx::raw_sql(include_str!("events.sql")).execute(pool).await.unwrap();
    let mut definition: Value = sqlx::query_scalar(
        "select definition from tasker.templates where namespace = $1 and name = 'transfer'",
    )
    .bind(transfer::NAMESPACE)
    .fetch_one(pool)
    .await
    .unwrap();
    definition["version"] = json!("with events");
    for step in definition["steps"].as_array_mut().unwrap() {
        step["publishes_events"] = declared("");
    }
    sqlx::query("select * from tasker.apply_template($1)")
        .bind(definition)
        .execute(pool)
        .await
        .unwrap();
}

/// All violations; once the queues are empty, and only once.
pub async fn check(pool: &PgPool, answers: &Answers) -> Vec<String> {
    sqlx::raw_sql(include_str!("events_expected.sql")).execute(pool).await.unwrap();
    let refused = sqlx::query_scalar(REFUSED).bind(&answers.refused).fetch_all(pool);
    let mut found: Vec<String> = refused.await.unwrap();
    for query in QUERIES {
        let rows: Vec<String> = sqlx::query_scalar(*query).fetch_all(pool).await.unwrap();
        found.extend(rows);
    }
    found
}

/// For the report, after [`check`].
#[derive(Debug, sqlx::FromRow)]
pub struct Figures {
    /// Messages that were in the queues.
    pub expected: i64,
    /// By plain calls of pgmq.
    pub booked: i64,
    /// By the helper.
    pub keyed: i64,
    /// Told in workers' processes.
    pub heard: i64,
    /// Results that were accepted.
    pub accepted: i64,
}

/// See [`Figures`].
pub async fn figures(pool: &PgPool) -> Figures {
    sqlx::query_as(
        "select (select count(*) from faults.expected) as expected, (select count(*) from \
         faults.booked) as booked, (select count(*) from faults.keyed) as keyed,
                (select count(*) from faults.heard) as heard, (select count(*) from \
                faults.accepted) as accepted",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}
