create function tasker.prune_dead_letters(p_max int, p_now timestamptz) returns int
language plpgsql volatile as $$
declare
    v_entry_ids  uuid[];
begin
    with old as materialized (
        select d.entry_id
        from tasker.dead_letters d
        cross join tasker.settings c
        left join tasker.tasks t on t.task_id = d.task_id
        left join tasker.templates v on v.template_id = t.template_id
        where coalesce(v.retention_days, c.retention_days) > 0
          and d.resolved_at < tasker.retention_cutoff(
            p_now,
            coalesce(v.retention_days, c.retention_days)
          )
        order by d.resolved_at
        limit p_max
        for update of d skip locked
    )
    select array_agg(o.entry_id)
    into v_entry_ids
    from old o;
    delete from tasker.dead_letters d
    where d.entry_id = any (v_entry_ids);
    return coalesce(cardinality(v_entry_ids), 0);
end
$$;
comment on function tasker.prune_dead_letters(int, timestamptz) is
    'Removes dead letters that were closed longer ago than the retention '
    'of their task''s template, or of the settings.';
