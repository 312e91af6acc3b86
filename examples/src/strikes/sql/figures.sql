-- What the engine did for the tasks of one run, by the database's clock.
with tasks as (
    select
        count(*) as tasks,
        sum(t.steps)::bigint as steps,
        max(t.completed_at) - min(t.created_at) as elapsed
    from tasker.task_overview t
    where t.task_id = any ($1)
), moments as (
    -- A hand-over lasts from the moment the last parent's result was stored to the moment the
    -- child was claimed; the child is unblocked when it is sent to its queue.
    -- The audit is looked up step by step through its index: just after a run there are no
    -- statistics, and a join of two large sets would be planned for small ones.
    select
        stored.at as stored,
        child.enqueued,
        child.claimed
    from tasker.step_dag d
    cross join lateral (
        select max(m.at) as at
        from tasker.step_transitions m
        where m.task_id = d.task_id
          and m.name = any (d.parents)
          and m.to_state = 'enqueued_for_orchestration'
    ) stored
    cross join lateral (
        select
            min(m.at) filter (where m.to_state = 'enqueued') as enqueued,
            min(m.at) filter (where m.to_state = 'in_progress') as claimed
        from tasker.step_transitions m
        where m.task_id = d.task_id
          and m.name = d.step
    ) child
    where d.task_id = any ($1)
      and d.level > 0
), percentiles as (
    -- In milliseconds.
    select
        percentile_cont(array[0.5, 0.95]) within group (
            order by extract(epoch from m.claimed - m.stored) * 1000
        ) as handover,
        percentile_cont(array[0.5, 0.95]) within group (
            order by extract(epoch from m.enqueued - m.stored) * 1000
        ) as unblock
    from moments m
)
select
    t.tasks,
    t.steps,
    extract(epoch from t.elapsed)::float8,
    p.handover[1]::float8,
    p.handover[2]::float8,
    p.unblock[1]::float8,
    p.unblock[2]::float8
from tasks t
cross join percentiles p
