create function tasker.shorten_waits(p_max int, p_now timestamptz)
returns int
language plpgsql volatile as $$
declare
    v_done  int;
begin
    with waiting as materialized (
        select s.task_id, s.name
        from (
            select *
            from tasker.steps s
            where s.available_at > p_now + interval '10 s'
            order by s.available_at
            limit 5000
        ) s
        where s.state = 'pending'
    ), beyond as materialized (
        select w.task_id, w.name, l.longest
        from waiting w
        cross join lateral (
            select *
            from tasker.steps s
            where s.task_id = w.task_id
              and s.name = w.name
            offset 0
        ) s
        cross join lateral (
            select * from tasker.tasks t where t.task_id = w.task_id offset 0
        ) t
        cross join lateral tasker.template_step(t.template_id, s.template_step) p
        cross join lateral (
            -- A wait that is not for a retry has no limit, but is not to last for longer than the
            -- step was told to wait.
            select
                case
                    when s.error is null then s.available_at - s.updated_at
                    else make_interval(
                        secs => least(
                            coalesce(
                                (s.error ->> 'retry_after_ms')::numeric,
                                p.max_backoff_ms
                            ),
                            1e10
                        )::double precision / 1000
                    )
                end as longest
        ) l
        -- A start time is no wait: it says when.
        where s.available_at is distinct from t.run_at
          and (
            s.updated_at > p_now + interval '5 s'
            or s.available_at > p_now + l.longest + interval '5 s'
          )
        limit p_max
    ), free as materialized (
        select b.task_id, b.name, b.longest
        from beyond b
        cross join lateral (
            select *
            from tasker.steps s
            where s.task_id = b.task_id
              and s.name = b.name
              and s.state = 'pending'
            for no key update skip locked
        ) s
    ), done as (
        update tasker.steps s
        set available_at = p_now
                + least(greatest(s.available_at - s.updated_at, interval '0'), f.longest),
            updated_at = p_now
        from free f
        where s.task_id = f.task_id
          and s.name = f.name
          and s.state = 'pending'
          and s.available_at is not null
        returning s.task_id
    )
    select count(*)
    into v_done
    from done d;
    return v_done;
end
$$;
comment on function tasker.shorten_waits(int, timestamptz) is
    'Shortens the waits of steps that wait longer than any of their retries may, or since a future '
    'time, after a clock went back: they wait their intended time from now.';
