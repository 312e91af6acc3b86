//! What must be true once every task has ended.

use crate::{
    bystander::Answers,
    events, growing,
    load::{ACCOUNTS, BALANCE},
};
use pgtasker_examples::transfer;
use pgtasker_tests::invariants::violations;
use sqlx::PgPool;
use std::{collections::BTreeMap, path::PathBuf};

/// Lines of the server's log shown from a bad one on.
const CONTEXT: usize = 20;

/// A violation a row.
const QUERIES: &[&str] = &[
    "select format('task %s (%s) ended in %s', t.task_id, t.name, t.state) from tasker.tasks t
      where t.state <> case t.name when 'fails' then 'error' else 'complete' \
      end::tasker.task_state",
    "select format('step %s of task %s (%s) is %s', s.name, s.task_id, t.name, s.state) from \
     tasker.steps s join tasker.tasks t using (task_id)
      where t.state = 'complete' and s.state <> 'complete' and s.name <> 'risky'",
    // Exactly once: the invariants say at most once.
    "select format('step %s of task %s has no audit of its completion', s.name, s.task_id) from \
     tasker.steps s
      where s.state = 'complete' and not exists (select from tasker.step_transitions x
                                                   where x.task_id = s.task_id and x.name = \
                                                   s.name and x.to_state = 'complete')",
    "select format('step %s of task %s keeps the result of claim %s, the last claim is %s', \
     s.name, s.task_id, s.result ->> 'claim_no', s.claim_no)
       from tasker.steps s where s.state = 'complete' and (s.result ->> 'claim_no')::int <> \
       s.claim_no",
    "select format('step %s of task %s had %s effects', s.name, s.task_id, (select count(*) from \
     faults.effects e where e.task_id = s.task_id::text and e.step = s.name))
       from tasker.steps s join tasker.tasks t using (task_id)
      where (t.name = 'effects' or s.name in ('written', 'meet')) and (select count(*) from \
      faults.effects e where e.task_id = s.task_id::text and e.step = s.name) <> 1",
    "select format('queue %s still holds %s messages', q.queue, q.depth) from \
     tasker.queue_overview q where q.depth > 0",
    "select format('dead letter in %s: %s %s', d.queue, d.detail, d.message) from \
     tasker.dead_letters d where d.reason = 'bad_message'",
];

/// All violations.
pub async fn run(
    pool: &PgPool,
    enqueued: &BTreeMap<String, i64>,
    answers: &Answers,
) -> Vec<String> {
    let mut found = violations(pool).await;
    sqlx::raw_sql("create index on faults.effects (task_id)").execute(pool).await.unwrap();
    for query in QUERIES {
        let rows: Vec<String> = sqlx::query_scalar(*query).fetch_all(pool).await.unwrap();
        found.extend(rows);
    }
    found.extend(growing::check(pool).await);
    found.extend(events::check(pool, answers).await);
    let tasks: Vec<(String, i64)> =
        sqlx::query_as("select name, count(*) from tasker.tasks group by name")
            .fetch_all(pool)
            .await
            .unwrap();
    let tasks: BTreeMap<String, i64> = tasks.into_iter().collect();
    if tasks != *enqueued {
        found.push(format!("enqueued were {enqueued:?}, there are {tasks:?}"));
    }
    let (total, doubled) =
        (transfer::total(pool).await.unwrap(), transfer::doubled(pool).await.unwrap());
    if (total, doubled) != (ACCOUNTS * BALANCE, 0) {
        found.push(format!(
            "{total} cents instead of {}, {doubled} booked twice",
            ACCOUNTS * BALANCE
        ));
    }
    found.extend(answers.wrong.iter().cloned());
    found
}

/// Deadlocks, and what else must not be in the server's log.
pub fn server_log(path: PathBuf) -> Vec<String> {
    let log = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let bad = |line: &str| {
        ["deadlock detected", "PANIC:", "TK099"].iter().any(|word| line.contains(word))
    };
    let found = lines.iter().enumerate().filter(|(_, line)| bad(line));
    // With what follows: DETAIL, CONTEXT.
    found
        .map(|(n, _)| format!("server log: {}", lines[n..lines.len().min(n + CONTEXT)].join("\n")))
        .collect()
}
