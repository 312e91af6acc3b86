//! What must hold in a database at any moment between two commits. Each is a query for its
//! violations, and `invariants.rs` of the engine's tests shows of each that it can find one.

use sqlx::{AssertSqlSafe, PgPool};

/// A name, and the query of its violations: one text column. `{messages}` stands for all messages
/// in worker queues, as rows (task_id, step, msg_id, namespace).
pub const INVARIANTS: &[(&str, &str)] = &[
    (
        "counters of an unfinished task are what its steps add up to",
        "select format('task %s (%s): remaining %s active %s held %s waiting_retry %s failed %s, \
         but steps: %s', t.task_id, t.state,
                       t.remaining, t.active, t.held, t.waiting_retry, t.failed, s)
           from tasker.tasks t
          cross join lateral (select count(*) filter (where not s.satisfied) as remaining,
                                     count(*) filter (where s.state in ('enqueued', \
                                     'in_progress', 'enqueued_for_orchestration')) as active,
                                     count(*) filter (where s.state = 'pending' and s.waiting_on \
                                     = 0 and s.error is null) as held,
                                     count(*) filter (where s.state = 'pending' and s.waiting_on \
                                     = 0 and s.error is not null) as waiting_retry,
                                     count(*) filter (where s.state in ('error', 'cancelled') and \
                                     not s.satisfied) as failed
                                from tasker.steps s where s.task_id = t.task_id) s
          where t.completed_at is null and t.state <> 'pending'
            and ((t.remaining, t.active, t.failed) <> (s.remaining, s.active, s.failed) or t.held \
            + t.waiting_retry <> s.held + s.waiting_retry)",
    ),
    (
        "the state of a task follows from its counters",
        "select format('task %s is %s with remaining %s active %s held %s waiting_retry %s failed \
         %s', t.task_id, t.state, t.remaining, t.active, t.held, t.waiting_retry, t.failed)
           from tasker.tasks t
          where t.completed_at is null and t.state <> 'pending'
            and t.state <> tasker.derive_task_state(t.remaining, t.active, t.held, \
            t.waiting_retry, t.failed, false)",
    ),
    (
        "a task has completed_at when, and only when, it has finished",
        "select format('task %s is %s, completed_at %s', t.task_id, t.state, t.completed_at) from \
         tasker.tasks t
          where (t.completed_at is null) = (t.state in ('complete', 'error', 'cancelled', \
          'resolved_manually'))",
    ),
    (
        "a complete task has only satisfied steps",
        "select format('step %s of task %s is %s', s.name, s.task_id, s.state) from tasker.steps \
         s join tasker.tasks t using (task_id)
          where t.state = 'complete' and not s.satisfied",
    ),
    (
        "a step is satisfied when, and only when, it is complete or resolved, or failed where \
         the template says what follows",
        "select format('step %s of task %s is %s, satisfied %s', s.name, s.task_id, s.state, \
         s.satisfied)
           from tasker.steps s join tasker.tasks t using (task_id) join tasker.template_steps p \
           on p.template_id = t.template_id and p.name = s.template_step
          where s.satisfied <> (s.state in ('complete', 'resolved_manually') or s.state = 'error' \
          and (p.handled or p.failure_strategy is not distinct from 'continue_on_failure'))",
    ),
    (
        "waiting_on counts the parents that are not satisfied",
        "select format('step %s of task %s waits on %s, %s parents are not satisfied', s.name, \
         s.task_id, s.waiting_on, p.n)
           from tasker.steps s join tasker.tasks t using (task_id)
          cross join lateral (select count(*) as n from tasker.template_edges e join tasker.steps \
          q on q.task_id = s.task_id and q.template_step = e.parent
                               where e.template_id = t.template_id and e.child = s.template_step \
                               and not q.satisfied) p
          -- One that was resolved by hand waits for nothing any more, and is counted down no more.
          where t.completed_at is null and s.state <> 'resolved_manually' and s.waiting_on <> p.n",
    ),
    (
        "no step begins before its parents are satisfied",
        "select format('step %s of task %s began before its parent %s was satisfied', c.name, \
         c.task_id, q.name)
           from tasker.step_transitions c join tasker.tasks t using (task_id) join tasker.steps s \
           on s.task_id = c.task_id and s.name = c.name
           join tasker.template_edges e on e.template_id = t.template_id and e.child = \
           s.template_step
           join tasker.steps q on q.task_id = c.task_id and q.template_step = e.parent
          where c.to_state = 'in_progress'
            and not exists (select from tasker.step_transitions p where p.task_id = c.task_id and \
            p.name = q.name
                               and (p.to_state in ('complete', 'resolved_manually') or p.to_state \
                               = 'error' and q.satisfied) and p.transition_id < c.transition_id)",
    ),
    (
        "the steps of a task are those that exist by the rule",
        "select format('step %s of task %s: %s, made: %s', g.step, g.task_id, g.presence, g.made)
           from tasker.tasks t cross join lateral tasker.graph_nodes(array[t.task_id]) g
          where g.made <> (g.presence = 'exists') and t.completed_at is null and t.state <> \
          'pending'",
    ),
    (
        "a step completes at most once",
        "select format('step %s of task %s completed %s times', x.name, x.task_id, count(*)) from \
         tasker.step_transitions x
          where x.to_state = 'complete' group by x.task_id, x.name having count(*) > 1",
    ),
    (
        "the audit of a step is one chain that ends in its state",
        "select format('step %s of task %s is %s after %s', s.name, s.task_id, s.state, a.hops) \
         from tasker.steps s
          cross join lateral (select coalesce(string_agg(x.from_state || '>' || x.to_state, ' ' \
          order by x.transition_id), '') as hops,
                                     coalesce((array_agg(x.to_state order by x.transition_id \
                                     desc))[1], 'pending') as last,
                                     coalesce(bool_or(x.from_state <> x.expected), false) as broken
                                from (select x.*, lag(x.to_state, 1, 'pending') over (order by \
                                x.transition_id) as expected
                                        from tasker.step_transitions x where x.task_id = \
                                        s.task_id and x.name = s.name) x) a
          where a.last <> s.state or a.broken",
    ),
    (
        "the audit of a task is one chain that ends in its state",
        "select format('task %s is %s after %s', t.task_id, t.state, a.hops) from tasker.tasks t
          cross join lateral (select coalesce(string_agg(x.from_state || '>' || x.to_state, ' ' \
          order by x.transition_id), '') as hops,
                                     coalesce((array_agg(x.to_state order by x.transition_id \
                                     desc))[1], 'pending') as last,
                                     coalesce(bool_or(x.from_state <> x.expected), false) as broken
                                from (select x.*, lag(x.to_state, 1, 'pending') over (order by \
                                x.transition_id) as expected
                                        from tasker.task_transitions x where x.task_id = \
                                        t.task_id) x) a
          where a.last <> t.state or a.broken",
    ),
    (
        "no step has more attempts than it may have",
        "select format('step %s of task %s: attempt %s of %s', s.name, s.task_id, s.attempt, \
         s.max_attempts) from tasker.steps s
          where s.attempt > s.max_attempts or s.attempt < 0",
    ),
    (
        "a step that is enqueued or in progress has its message",
        "select format('step %s of task %s is %s and has no message', s.name, s.task_id, s.state) \
         from tasker.steps s join tasker.tasks t using (task_id)
          where t.completed_at is null and s.state in ('enqueued', 'in_progress')
            and not exists (select from {messages} m where m.task_id = s.task_id::text and m.step \
            = s.name and m.namespace = t.namespace
                               and (s.state = 'enqueued' or m.msg_id = s.msg_id))",
    ),
    (
        "a step with a result to process has its message",
        "select format('step %s of task %s has no result message', s.name, s.task_id) from \
         tasker.steps s join tasker.tasks t using (task_id)
          where t.completed_at is null and s.state = 'enqueued_for_orchestration'
            and not exists (select from pgmq.q_orchestration_step_results m where m.message ->> \
            'task_id' = s.task_id::text
                               and m.message ->> 'step' = s.name and (m.message ->> \
                               'claim_no')::int = s.claim_no)",
    ),
    (
        "a ready step has its time or its place in turn",
        "select format('step %s of task %s is ready and nothing will send it', s.name, s.task_id) \
         from tasker.steps s join tasker.tasks t using (task_id)
          where t.completed_at is null and s.state = 'pending' and s.waiting_on = 0 and \
          s.available_at is null
            and not exists (select from tasker.held_steps h where h.task_id = s.task_id and \
            h.step = s.name)",
    ),
    (
        "a pending task has its request",
        "select format('task %s has no request', t.task_id) from tasker.tasks t where t.state = \
         'pending'
            and not exists (select from pgmq.q_orchestration_task_requests m where m.message ->> \
            'task_id' = t.task_id::text)",
    ),
];

/// Every violation of every invariant, with the invariant's name.
pub async fn violations(pool: &PgPool) -> Vec<String> {
    let namespaces: Vec<String> =
        sqlx::query_scalar("select namespace from tasker.namespaces order by 1")
            .fetch_all(pool)
            .await
            .unwrap();
    let messages = messages(&namespaces);
    let mut found = Vec::new();
    // One snapshot for all of them: work may go on meanwhile.
    let mut snapshot = pool.begin().await.unwrap();
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *snapshot)
        .await
        .unwrap();
    for (name, query) in INVARIANTS {
        let query = query.replace("{messages}", &messages);
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *snapshot).await.unwrap();
        found.extend(rows.into_iter().map(|row| format!("{name}: {row}")));
    }
    found
}

/// Panics with the violations, if there are any.
pub async fn assert_invariants(pool: &PgPool) {
    let found = violations(pool).await;
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

/// All messages in worker queues as one table expression.
fn messages(namespaces: &[String]) -> String {
    let queue = |namespace: &String| {
        format!(
            "select m.message ->> 'task_id' as task_id, m.message ->> 'step' as step, m.msg_id, \
             '{namespace}' as namespace
               from pgmq.q_worker_{namespace}_queue m"
        )
    };
    let none = "select null::text as task_id, null::text as step, null::bigint as msg_id, \
        null::text as namespace where false"
        .to_owned();
    // What is parked has left its queue, and stands for its message.
    let parked = "select p.task_id::text, p.step, p.msg_id, p.namespace from tasker.parked_steps p"
        .to_owned();
    let all: Vec<String> = [none, parked].into_iter().chain(namespaces.iter().map(queue)).collect();
    format!("({}) as", all.join(" union all "))
}
