create function tasker.why_unmade(p_task_id uuid, p_step text)
returns text
language sql stable as $$
    select case
        when g.presence = 'undecided' then 'whether it exists is not decided yet'
        when v.holds = false and p.condition is not null then format(
            'its condition is false: %s (%s)',
            left(p.condition ->> 'condition', 300),
            v.reason #>> '{}')
        when v.holds = false then format(
            'it exists where none of these does: %s', array_to_string(p.sisters, ', '))
        when g.presence = 'not_chosen' then 'it was not chosen'
        when p.type = 'batch_worker' and g.made then format(
            'it is a batch, name one of its instances, such as "%s"',
            tasker.instance_name(p_step, 1)
        )
    end
    from tasker.graph_nodes(array[p_task_id]) g
    join tasker.template_steps p
      on p.template_id = g.template_id
     and p.name = g.step
    left join tasker.step_verdicts v
      on v.task_id = g.task_id
     and v.step = g.step
    where g.step = p_step
$$;
comment on function tasker.why_unmade(uuid, text) is
    'Why a step of the template has no row of its name in a task, where that can be said.';
