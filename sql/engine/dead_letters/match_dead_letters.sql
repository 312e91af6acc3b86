create function tasker.match_dead_letters(
    p_filter  jsonb,
    p_after   uuid,
    p_max     int
)
returns uuid[]
language sql stable as $$
    select coalesce(array_agg(m.entry_id order by m.entry_id), '{}')
    from (
        select d.entry_id
        from tasker.dead_letters d
        left join tasker.tasks t on t.task_id = d.task_id
        where d.status = coalesce(p_filter ->> 'status', 'pending')
          and (not p_filter ? 'reason' or d.reason = p_filter ->> 'reason')
          and (not p_filter ? 'namespace' or t.namespace = p_filter ->> 'namespace')
          and (not p_filter ? 'name' or t.name = p_filter ->> 'name')
          and (not p_filter ? 'step' or d.step = p_filter ->> 'step')
          and (not p_filter ? 'queue' or d.queue = p_filter ->> 'queue')
          and (
            not p_filter ? 'created_after'
            or d.created_at >= (p_filter ->> 'created_after')::timestamptz
          )
          and (
            not p_filter ? 'created_before'
            or d.created_at < (p_filter ->> 'created_before')::timestamptz
          )
          and (tasker.limits() is null or tasker.may_see_entry(d.queue, d.task_id))
          and (p_after is null or d.entry_id > p_after)
        order by d.entry_id
        limit p_max
    ) m
$$;
comment on function tasker.match_dead_letters(jsonb, uuid, int) is
    'The dead letters that match a checked filter, oldest first: '
    'those after p_after, at most p_max (null: all). Without a status: the pending ones.';
