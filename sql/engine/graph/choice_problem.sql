create function tasker.choice_problem(
    p_task_id  uuid,
    p_step     text,
    p_outcome  jsonb
)
returns text
language plpgsql stable as $$
declare
    v_needed    text := case p_outcome ->> 'type'
        when 'decision' then 'decision'
        else 'batchable'
    end;
    v_chosen    text[];
    v_step      record;
    v_children  text[];
    v_workers   text[];
    v_unknown   text[];
    v_limits    tasker.settings;
begin
    select p.*
    into v_step
    from tasker.steps s
    cross join lateral (
        select t.template_id
        from tasker.tasks t
        where t.task_id = s.task_id
        offset 0
    ) t
    cross join lateral (
        select *
        from tasker.template_steps p
        where p.template_id = t.template_id
          and p.name = s.template_step
        offset 0
    ) p
    where s.task_id = p_task_id
      and s.name = p_step;
    if not found then
        -- The caller itself answers that there is no such step.
        return null;
    elsif v_step.type <> v_needed then
        return format(
            'step "%s" is of type %s: only a %s may have an outcome of type %s',
            p_step, v_step.type, v_needed, p_outcome ->> 'type');
    end if;

    select * into v_limits from tasker.settings;
    select
        array_agg(e.child order by p.position),
        array_agg(e.child order by p.position) filter (where p.type = 'batch_worker')
    into v_children, v_workers
    from tasker.template_edges e
    join tasker.template_steps p
      on p.template_id = e.template_id
     and p.name = e.child
    where e.template_id = v_step.template_id
      and e.parent = v_step.name;

    if v_step.type = 'batchable' then
        return case
            when p_outcome ->> 'worker_step' is null and cardinality(v_workers) > 1
              or p_outcome ->> 'worker_step' <> all (v_workers)
                then format(
                    'the worker_step of "%s" is one of %s; it is %s',
                    p_step,
                    array_to_string(v_workers, ', '),
                    coalesce(left((p_outcome -> 'worker_step')::text, 100), 'missing'))
            when jsonb_array_length(p_outcome -> 'cursors') > v_limits.max_instances
                then format(
                    '"%s" gave %s cursors; the limit is %s (max_instances in tasker.settings): '
                    'let each cover more',
                    p_step, jsonb_array_length(p_outcome -> 'cursors'), v_limits.max_instances)
            else tasker.cursors_too_large(p_outcome -> 'cursors')
        end;
    end if;

    v_chosen := array(select distinct jsonb_array_elements_text(p_outcome -> 'create_steps'));
    v_unknown := array(select c from unnest(v_chosen) c where c <> all (v_children) order by 1);
    if cardinality(v_unknown) > 0 then
        return format(
            '"%s" cannot create %s; it can choose from its direct children: %s',
            p_step,
            (
                select string_agg(
                    case
                        when exists (
                            select
                            from tasker.template_steps p
                            where p.template_id = v_step.template_id
                              and p.name = u
                        ) then format('"%s" (not a direct child)', u)
                        else format('"%s" (no such step)', left(u, 100))
                    end,
                    ', ')
                from unnest(v_unknown[1:5]) u
            ),
            array_to_string(v_children, ', '));
    elsif cardinality(v_chosen) > 0 and v_step.decision_depth > v_limits.max_decision_depth then
        return format(
            'the decision "%s" is nested %s deep; '
            'the limit is %s (max_decision_depth in tasker.settings)',
            p_step, v_step.decision_depth, v_limits.max_decision_depth);
    end if;
    return null;
end
$$;
comment on function tasker.choice_problem(uuid, text, jsonb) is
    'What is wrong with a well-formed decision, or with the cursors of a batch, '
    'for the step that gave it; null: nothing, or no such step.';
