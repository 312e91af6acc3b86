create function tasker.drop_taken_cursors(p_nodes tasker.new_node[])
returns void
language plpgsql volatile as $$
begin
    if not exists (select from unnest(p_nodes) n where n.type = 'batch_worker') then
        return;
    end if;

    update tasker.steps s
    set decided = jsonb_build_object(
            'worker_step', s.decided -> 'worker_step',
            'instances', jsonb_array_length(s.decided -> 'cursors')
        )
    from (
        select distinct n.task_id, e.parent
        from unnest(p_nodes) n
        cross join lateral unnest(n.parents) e(parent)
        where n.type = 'batch_worker'
    ) b
    where s.task_id = b.task_id
      and s.name = b.parent
      and s.decided ? 'cursors';
end
$$;
comment on function tasker.drop_taken_cursors(tasker.new_node[]) is
    'Replaces the cursors in the batchables of created batches by their number: the instances have '
    'the cursors from now on.';
