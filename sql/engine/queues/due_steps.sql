create function tasker.due_steps(
    p_max         int,
    p_only        text,
    p_now         timestamptz,
    out task_ids  uuid[],
    out steps     text[],
    out held      boolean[]
)
language plpgsql stable as $$
begin
    select array_agg(d.task_id), array_agg(d.step), array_agg(d.held)
    into task_ids, steps, held
    from (
        -- By priority among the steps that have been due for longest: to choose among all of them
        -- would sort them all at each call.
        (
            select r.task_id, r.step, false as held
            from (
                select *
                from tasker.every_ready_step r
                where r.available_at <= p_now
                  and r.namespace not in (select g.namespace from tasker.every_gated_namespace g)
                  and (p_only is null or r.namespace = p_only)
                order by r.available_at
                limit p_max * 4
            ) r
            order by r.priority desc, r.available_at
            limit p_max
        )
        union all
        select h.task_id, h.step, true
        from tasker.open_held_steps(p_max, p_only) h
    ) d;
end
$$;
comment on function tasker.due_steps(int, text, timestamptz) is
    'Steps whose time has come, up to p_max, and held steps whose turn it is; '
    'p_only: of one namespace.';
