create function tasker.task_graphs(p_task_ids uuid[])
returns table (
    task_id      uuid,
    template_id  uuid,
    known        jsonb,
    made         jsonb
)
-- The one rule of dynamic graphs: docs/decisions.md, "What exists".
language plpgsql stable as $$
declare
    v_task_ids   uuid[];
    v_templates  uuid[];
    v_known      jsonb[];
    v_made       jsonb[];
    v_first      int;
    v_last       int;
begin
    -- One query finds the steps that have been made already. A batch_worker has no row of its own:
    -- it is made once the cursors were taken.
    select
        array_agg(k.task_id order by k.task_id),
        array_agg(k.template_id order by k.task_id),
        array_agg(k.known order by k.task_id),
        min(k.first),
        max(k.last)
    into v_task_ids, v_templates, v_known, v_first, v_last
    from (
        select
            t.task_id,
            t.template_id,
            jsonb_object_agg(p.name, 'exists') filter (where m.made) as known,
            min(p.level) filter (where not m.made) as first,
            max(p.level) as last
        from (
            select distinct i.task_id
            from unnest(p_task_ids) i(task_id)
        ) i
        cross join lateral (
            select *
            from tasker.tasks t
            where t.task_id = i.task_id
            offset 0
        ) t
        join tasker.templates v
          on v.template_id = t.template_id
         and v.dynamic
        join tasker.template_steps p on p.template_id = t.template_id
        cross join lateral (
            select case
                when p.type = 'batch_worker' then exists (
                    select from tasker.template_edges e
                    join tasker.steps b
                      on b.task_id = t.task_id
                     and b.name = e.parent
                    where e.template_id = t.template_id
                      and e.child = p.name
                      and b.satisfied
                      and not b.decided ? 'cursors'
                )
                else exists (
                    select from tasker.steps s
                    where s.task_id = t.task_id
                      and s.name = p.name
                )
            end as made
            offset 0
        ) m
        group by t.task_id, t.template_id
    ) k
    -- Nothing can be said about a task that has not begun.
    where k.known is not null;

    v_made := v_known;

    -- The other steps follow from their parents, which are on lower levels.
    for v_level in coalesce(v_first, 1) .. coalesce(v_last, 0) loop
        with edges as materialized (
            select
                k.n,
                p.name as child,
                p.type,
                case
                    when k.known ->> e.parent = 'not_chosen' then 'dead'
                    when k.known ->> e.parent = 'undecided' then 'unknown'
                    when q.type = 'decision' then case
                        when not b.satisfied then 'unknown'
                        when p.type <> 'deferred'
                         and not coalesce(b.decided -> 'create_steps' ? p.name, false) then 'dead'
                        else 'live'
                    end
                    when q.type = 'batchable'
                     and p.type = 'batch_worker'
                     and not b.satisfied then 'unknown'
                    else 'live'
                end as edge
            from unnest(v_task_ids, v_templates, v_known)
                with ordinality k(task_id, template_id, known, n)
            join tasker.template_steps p
              on p.template_id = k.template_id
             and p.level = v_level
             and not k.known ? p.name
            join tasker.template_edges e
              on e.template_id = k.template_id
             and e.child = p.name
            join tasker.template_steps q
              on q.template_id = k.template_id
             and q.name = e.parent
            -- A parent that has come into being just now has not decided.
            left join lateral (
                select
                    coalesce(bool_or(s.satisfied), false) as satisfied,
                    (array_agg(s.decided))[1] as decided
                from tasker.steps s
                where s.task_id = k.task_id
                  and s.name = e.parent
                  and q.type in ('decision', 'batchable')
            ) b on true
        ), judged as (
            select
                d.n,
                d.child,
                case
                    when d.type = 'deferred' then case
                        when bool_or(d.edge = 'unknown') then 'undecided'
                        when bool_or(d.edge = 'live') then 'exists'
                        else 'not_chosen'
                    end
                    when bool_or(d.edge = 'dead') then 'not_chosen'
                    when bool_or(d.edge = 'unknown') then 'undecided'
                    else 'exists'
                end as presence
            from edges d
            group by d.n, d.child, d.type
        ), added as (
            select j.n, jsonb_object_agg(j.child, j.presence) as known
            from judged j
            group by j.n
        )
        select array_agg(k.known || coalesce(a.known, '{}') order by k.n)
        into v_known
        from unnest(v_known) with ordinality k(known, n)
        left join added a on a.n = k.n;
    end loop;

    return query
        select k.*
        from unnest(v_task_ids, v_templates, v_known, v_made) k;
end
$$;
comment on function tasker.task_graphs(uuid[]) is
    'Of each of these tasks with a dynamic template: known: every step of the template by name, '
    'as exists, undecided (a decision or batchable above it has not ended), or not_chosen; '
    'made: those whose row, or whose instances, are there already.';
