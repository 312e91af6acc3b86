create function tasker.edges_of(
    p_task_ids      uuid[],
    p_template_ids  uuid[],
    p_known         jsonb[],
    p_next          jsonb[]
)
returns table (
    n            bigint,
    child        text,
    type         text,
    conditional  boolean,
    edge         text
)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    select
        k.n,
        child.name,
        child.type,
        child.conditional,
        case
            when e.parent is null then 'live'
            when k.known ->> e.parent = 'not_chosen' then 'dead'
            when k.known ->> e.parent is null or k.known ->> e.parent = 'ready' then 'unknown'
            when k.known ->> e.parent = 'skipped' then
                case e.kind when 'failed' then 'dead' else 'live' end
            when (parent.may_skip or parent.handled) and not choice.satisfied then 'unknown'
            when choice.failed then
                case when e.kind = 'complete' and not parent.goes_on then 'dead' else 'live' end
            when e.kind = 'failed' then 'dead'
            when choice.decided ? 'skip' and parent.when_false is null then 'dead'
            -- A condition looks at what its parents have said.
            when child.conditional and not choice.satisfied then 'unknown'
            when parent.type = 'decision' then case
                when not choice.satisfied then 'unknown'
                when child.type <> 'deferred'
                 and e.kind = 'complete'
                 and not coalesce(choice.decided -> 'create_steps' ? child.name, false) then 'dead'
                else 'live'
            end
            when parent.type = 'batchable'
             and child.type = 'batch_worker'
             and not choice.satisfied then 'unknown'
            else 'live'
        end
    from unnest(p_task_ids, p_template_ids, p_known, p_next)
        with ordinality k(task_id, template_id, known, next, n)
    cross join lateral jsonb_array_elements_text(k.next) candidate(name)
    cross join lateral tasker.template_step(k.template_id, candidate.name) child
    -- A step without parents has one edge that leads from nowhere.
    left join lateral tasker.parents_of(k.template_id, child.name) e on true
    left join lateral tasker.template_step(k.template_id, e.parent) parent on true
    -- A parent that has come into being just now has not decided.
    cross join lateral (
        select
            case
                when parent.type = 'batch_worker' and child.conditional then
                    tasker.has_batch_ended(k.task_id, k.template_id, e.parent)
                else coalesce(bool_or(s.satisfied), false)
            end as satisfied,
            coalesce(bool_or(s.state = 'error' and s.satisfied), false)
                and parent.handled as failed,
            (array_agg(s.decided))[1] as decided
        from tasker.steps s
        where s.task_id = k.task_id
          and s.name = e.parent
          and (
              parent.type in ('decision', 'batchable')
              or parent.may_skip
              or parent.handled
              or child.conditional
          )
    ) choice
$$;
comment on function tasker.edges_of(uuid[], uuid[], jsonb[], jsonb[]) is
    'The edges to the steps in p_next (for each task, their names): dead, unknown, or live. '
    'n: the number of the task, from 1.';
