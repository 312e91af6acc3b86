create function tasker.create_steps(
    p_task_ids       uuid[],
    p_now            timestamptz,
    p_later          boolean,
    out made_tasks   uuid[],
    out made_counts  int[],
    out ready_tasks  uuid[],
    out ready_steps  text[],
    out ready_held   boolean[]
)
language plpgsql volatile as $$
declare
    v_batch_tasks  uuid[];
    v_batch_steps  text[];
begin
    -- The nodes exist and are not made yet.
    with nodes as materialized (
        select
            g.task_id,
            g.template_id,
            g.known,
            g.made,
            p.name as step,
            p.type,
            p.level,
            p.position,
            p.max_attempts
        from tasker.task_graphs(p_task_ids) g
        cross join lateral jsonb_each_text(g.known) n(step, presence)
        join tasker.template_steps p
          on p.template_id = g.template_id
         and p.name = n.step
        where n.presence = 'exists'
          and not g.made ? n.step
    ), batches as materialized (
        -- Each batch is read and counted once, however many steps come after it: first those whose
        -- instances are made now, then those whose instances are there already.
        select
            n.task_id,
            n.step,
            c.batchable,
            c.cursors,
            jsonb_array_length(c.cursors) as open,
            n.level,
            n.position,
            n.max_attempts
        from nodes n
        cross join lateral tasker.batch_cursors(n.task_id, n.template_id, n.step) c
        where n.type = 'batch_worker'
        union all
        select
            m.task_id,
            m.parent,
            null,
            null,
            (
                select count(*)
                from tasker.steps s
                where s.task_id = m.task_id
                  and s.template_step = m.parent
                  and not s.satisfied
            ),
            null,
            null,
            null
        from (
            select distinct n.task_id, e.parent
            from nodes n
            join tasker.template_edges e
              on e.template_id = n.template_id
             and e.child = n.step
            join tasker.template_steps q
              on q.template_id = n.template_id
             and q.name = e.parent
             and q.type = 'batch_worker'
            where n.made ? e.parent
        ) m
    ), rows as (
        -- One row for each node, and one for each instance of a batch_worker.
        select
            n.task_id,
            n.step as name,
            n.step as template_step,
            null::int as instance,
            null::jsonb as inputs,
            w.waiting_on,
            n.level,
            n.position,
            n.max_attempts,
            n.type in ('decision', 'batchable') as decides
        from nodes n
        -- The parents are read in their present state, which includes what the caller has just
        -- settled. Nothing that is made now is satisfied.
        cross join lateral (
            select coalesce(sum(
                case
                    when q.type = 'batch_worker' then (
                        select b.open
                        from batches b
                        where b.task_id = n.task_id
                          and b.step = e.parent
                    )
                    else (
                        select case
                            when count(*) = 0 then 1
                            else count(*) filter (where not s.satisfied)
                        end
                        from tasker.steps s
                        where s.task_id = n.task_id
                          and s.name = e.parent
                    )
                end
            ), 0)::int as waiting_on
            from tasker.template_edges e
            join tasker.template_steps q
              on q.template_id = e.template_id
             and q.name = e.parent
            where e.template_id = n.template_id
              and e.child = n.step
              and n.known ->> e.parent = 'exists'
        ) w
        where n.type <> 'batch_worker'
        union all
        select
            b.task_id,
            tasker.instance_name(b.step, c.n),
            b.step,
            c.n::int,
            c.cursor,
            0,
            b.level,
            b.position,
            b.max_attempts,
            false
        from batches b
        cross join lateral jsonb_array_elements(b.cursors) with ordinality c(cursor, n)
    ), made as (
        insert into tasker.steps (
            task_id,
            name,
            template_step,
            instance,
            inputs,
            decides,
            state,
            waiting_on,
            max_attempts,
            available_at,
            enqueued_at,
            updated_at,
            created_at
        )
        select
            r.task_id,
            r.name,
            r.template_step,
            r.instance,
            r.inputs,
            r.decides,
            (case
                when r.waiting_on = 0 and not p_later and not t.gated then 'enqueued'
                else 'pending'
            end)::tasker.step_state,
            r.waiting_on,
            r.max_attempts,
            case when r.waiting_on = 0 and p_later then p_now end,
            case when r.waiting_on = 0 and not p_later and not t.gated then p_now end,
            p_now,
            p_now
        from rows r
        cross join lateral (
            select x.namespace in (select g.namespace from tasker.every_gated_namespace g) as gated
            from tasker.tasks x
            where x.task_id = r.task_id
            offset 0
        ) t
        order by r.task_id, r.level, r.position, r.instance
        returning
            task_id,
            name,
            waiting_on = 0 and not p_later as ready,
            state = 'pending' as held
    )
    select
        array_agg(m.task_id) filter (where m.ready),
        array_agg(m.name) filter (where m.ready),
        array_agg(m.held) filter (where m.ready),
        (select array_agg(b.task_id) from batches b where b.cursors is not null),
        (select array_agg(b.batchable) from batches b where b.cursors is not null),
        (
            select array_agg(c.task_id order by c.task_id)
            from (select distinct m.task_id from made m) c
        ),
        (
            select array_agg(c.n order by c.task_id)
            from (select m.task_id, count(*)::int as n from made m group by 1) c
        )
    into
        ready_tasks,
        ready_steps,
        ready_held,
        v_batch_tasks,
        v_batch_steps,
        made_tasks,
        made_counts
    from made m;

    -- From now on the cursors stand with the instances, and the batchable keeps only their number.
    if v_batch_tasks is not null then
        update tasker.steps s
        set decided = jsonb_build_object(
                'worker_step', s.decided -> 'worker_step',
                'instances', jsonb_array_length(s.decided -> 'cursors')
            )
        from unnest(v_batch_tasks, v_batch_steps) b(task_id, name)
        where s.task_id = b.task_id
          and s.name = b.name;
    end if;
end
$$;
comment on function tasker.create_steps(uuid[], timestamptz, boolean) is
    'Makes the steps of dynamic tasks that exist by now and are not there yet, '
    'with what they wait for; the caller counts and sends. '
    'p_later: those that wait for nothing are left to the sweep (available_at). '
    'Again: nothing. The caller holds the tasks.';
