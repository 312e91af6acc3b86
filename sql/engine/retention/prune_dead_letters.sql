create function tasker.prune_dead_letters(p_max int, p_now timestamptz) returns int
language plpgsql volatile as $$
declare
    v_entry_ids  uuid[];
begin
    with old as materialized (
        select letter.entry_id
        from tasker.dead_letters letter
        cross join tasker.settings
        left join tasker.tasks task on task.task_id = letter.task_id
        left join tasker.templates template on template.template_id = task.template_id
        where coalesce(template.retention_days, settings.retention_days) > 0
          and letter.resolved_at < tasker.retention_cutoff(
            p_now,
            coalesce(template.retention_days, settings.retention_days)
          )
        order by letter.resolved_at
        limit p_max
        for update of letter skip locked
    )
    select array_agg(old.entry_id)
    into v_entry_ids
    from old;
    delete from tasker.dead_letters letter
    where letter.entry_id = any (v_entry_ids);
    return coalesce(cardinality(v_entry_ids), 0);
end
$$;
comment on function tasker.prune_dead_letters(int, timestamptz) is
    'Removes dead letters that were closed longer ago than the retention '
    'of their task''s template, or of the settings.';
