//! Tasks whose graph grows under the chaos: a decision whose branches meet, a batch whose
//! instances save where they are several times, and conditions with a failure that is handled.
//! Their functions write what they do in their steps' transactions; see growing.sql.

use crate::{events, load::NAMESPACE};
use serde_json::{Value, json};
use sqlx::PgPool;

/// Their names.
pub const NAMES: &[&str] = &["chooses", "batch", "judged"];

/// A violation a row.
const QUERIES: &[&str] = &[
    "select format('the decision of task %s was made %s times', t.task_id, n.n)
       from tasker.tasks t cross join lateral (select count(*) as n from faults.choices c where \
       c.task_id = t.task_id::text) n
      where t.name = 'chooses' and n.n <> 1",
    "select format('task %s has the steps %s, by its choice of %s it has %s', t.task_id, n.steps, \
     c.chosen, x.steps)
       from tasker.tasks t
       join faults.choices c on c.task_id = t.task_id::text
      cross join lateral (select array_agg(s.name order by s.name) as steps from tasker.steps s \
      where s.task_id = t.task_id) n
      cross join lateral (select array_agg(e order by e) as steps
                            from unnest(array['a', 'choose'] || c.chosen || case when 'long1' = \
                            any (c.chosen) then array['long2'] end
                                        || case when cardinality(c.chosen) > 0 then array['meet'] \
                                        end) e) x
      where n.steps is distinct from x.steps",
    "select format('task %s did item %s of its batch %s times instead of once', i.task_id, \
     i.item, count(*)) from faults.items i
      group by i.task_id, i.item having count(*) <> 1",
    "select format('task %s did %s items, of its cursors %s', t.task_id, n.n, b.cursors)
       from tasker.tasks t
       join faults.batches b on b.task_id = t.task_id::text
      cross join lateral (select count(*) as n from faults.items i where i.task_id = b.task_id) n
      where n.n <> jsonb_array_length(b.cursors) * 25",
    "select format('the batch of task %s was cut %s times', t.task_id, n.n)
       from tasker.tasks t cross join lateral (select count(*) as n from faults.batches b where \
       b.task_id = t.task_id::text) n
      where t.name = 'batch' and n.n <> 1",
    "select format('task %s adds up to %s, its items to %s', t.task_id, s.result, i.sum)
       from tasker.tasks t
       join tasker.steps s on s.task_id = t.task_id and s.name = 'total' and s.state = 'complete'
      cross join lateral (select coalesce(sum(i.item), 0) as sum from faults.items i where \
      i.task_id = t.task_id::text) i
      where t.name = 'batch' and s.result <> to_jsonb(i.sum)",
    "select format('task %s with the context %s has the steps %s instead of %s', t.task_id, \
     t.context, n.steps, x.steps)
       from tasker.tasks t
      cross join lateral (select array_agg(s.name || ' ' || s.state order by s.name) as steps \
      from tasker.steps s where s.task_id = t.task_id) n
      cross join lateral (select array_agg(e order by e) as steps
                            from unnest(array['a complete', 'end complete', 'gift complete', \
                            'rescue complete', 'risky error',
                                              case when (t.context -> 'amount')::int < 50 then \
                                              'small' else 'large' end || ' complete']) e) x
      where t.name = 'judged' and n.steps is distinct from x.steps",
    "select format('task %s was judged %s times', t.task_id, n.n)
       from tasker.tasks t
      cross join lateral (select count(*) as n from tasker.step_verdicts v where v.task_id = \
      t.task_id) n
      where t.name = 'judged' and n.n <> 3",
    "select format('step rescue of task %s was told %s', s.task_id, s.inputs)
       from tasker.steps s join tasker.tasks t using (task_id)
      where t.name = 'judged' and s.name = 'rescue' and s.inputs ->> 'why' is null",
];

/// Tables and templates.
pub async fn install(pool: &PgPool) {
    sqlx::raw_sql(include_str!("growing.sql")).execute(pool).await.unwrap();
    let chooses: &[Step] = &[
        ("a", "standard", &[], "mark"),
        ("choose", "decision", &["a"], "faults.choose"),
        ("short", "standard", &["choose"], "mark"),
        ("long1", "standard", &["choose"], "slow"),
        ("long2", "standard", &["long1"], "mark"),
        ("written", "standard", &["choose"], "faults.effect"),
        ("meet", "deferred", &["short", "long2", "written"], "faults.effect"),
    ];
    let batch: &[Step] = &[
        ("split", "batchable", &[], "faults.split"),
        ("work", "batch_worker", &["split"], "faults.work"),
        ("total", "standard", &["work"], "faults.total"),
    ];
    let judged: &[Step] = &[
        ("a", "standard", &[], "mark"),
        ("small", "standard", &["a"], "mark"),
        ("large", "standard", &["a"], "slow"),
        ("gift", "standard", &["a"], "mark"),
        ("risky", "standard", &["a"], "fail"),
        ("never", "standard", &["risky"], "mark"),
        ("rescue", "standard", &[], "mark"),
        ("end", "deferred", &["small", "large", "gift", "rescue", "never"], "mark"),
    ];
    for (name, steps) in NAMES.iter().zip([chooses, batch, judged]) {
        let mut steps: Vec<Value> = steps.iter().map(step).collect();
        if *name == "judged" {
            steps[1]["when"] = json!("$.context.amount < 50");
            steps[2]["otherwise"] = json!(true);
            steps[3]["when"] = json!("exists($.context.nothing)");
            steps[3]["when_false"] = json!("complete");
            steps[6]["dependencies"] = json!([{"step": "risky", "on": "failed"}]);
            steps[6]["inputs"] = json!({"why": "$.errors.risky.message"});
        }
        let template = json!({
            "namespace": NAMESPACE,
            "name": name,
            "version": "1",
            "on_failure": "fail",
            "steps": steps,
        });
        sqlx::query("select * from tasker.apply_template($1)")
            .bind(template)
            .execute(pool)
            .await
            .unwrap();
    }
}

/// Name, type, parents, and handler or function.
type Step = (&'static str, &'static str, &'static [&'static str], &'static str);

fn step((name, kind, parents, handler): &Step) -> Value {
    let events = events::declared(handler);
    let handler = if handler.contains('.') {
        json!({"callable": "sql", "config": {"function": handler}})
    } else {
        json!({"callable": handler})
    };
    json!({
        "name": name,
        "type": kind,
        "dependencies": parents,
        "handler": handler,
        "publishes_events": events,
        "retry": {"max_attempts": 50, "backoff": "fixed", "backoff_base_ms": 50},
    })
}

/// All violations.
pub async fn check(pool: &PgPool) -> Vec<String> {
    sqlx::raw_sql(
        "create index on faults.choices (task_id); create index on faults.batches (task_id); \
         create index on faults.items (task_id, item)",
    )
    .execute(pool)
    .await
    .unwrap();
    let mut found = Vec::new();
    for query in QUERIES {
        let rows: Vec<String> = sqlx::query_scalar(*query).fetch_all(pool).await.unwrap();
        found.extend(rows);
    }
    found
}

/// Checkpoints, and how many instances went on at another worker than one that had saved their
/// state.
pub async fn checkpoints(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "select coalesce(sum(x.saved), 0)::bigint, count(*) filter (where x.saved > 0 and \
         x.workers > 1)
           from (select count(*) filter (where t.reason = 'checkpoint') as saved, count(distinct \
           t.actor_id) filter (where t.to_state = 'in_progress') as workers
                   from tasker.step_transitions t join tasker.steps s on s.task_id = t.task_id \
                   and s.name = t.name
                  where s.instance is not null group by t.task_id, t.name) x",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}
