-- for: orchestrator
-- planner: enable_seqscan = off, jit = off
create function tasker.take_finished_counts(p_bounds float8[])
returns table (
    namespace  text,
    template   text,
    state      text,
    bucket     int,
    tasks      bigint,
    seconds    float8
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    -- A task that commits later with an earlier time would be missed.
    v_until  timestamptz := tasker.clock() - interval '10 s';
    v_from   timestamptz;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    if array_ndims(p_bounds) is distinct from 1
       or cardinality(p_bounds) > 1000
       or array_position(p_bounds, null) is not null then
        raise exception 'p_bounds must be a list of 1 to 1,000 numbers, none of them null'
            using errcode = 'TK009',
                hint = 'Give the upper bounds of the buckets in seconds, ascending, '
                    'such as ''{0.1,1,10}''.';
    end if;

    -- One process takes each stretch of time, so that the sum over all of them counts every task
    -- once.
    select w.ran_at
    into v_from
    from tasker.sweeps w
    where w.name = 'finished'
    for no key update skip locked;
    if not found then
        return;
    end if;
    update tasker.sweeps w
    set ran_at = v_until
    where w.name = 'finished';

    -- After a pause not all of the past at once: it would be a jump in every rate, and costs time.
    v_from := greatest(v_from, v_until - interval '10 minutes');
    return query
        select
            v.namespace,
            v.name,
            f.state::text,
            width_bucket(f.seconds, p_bounds),
            count(*),
            sum(f.seconds)
        from tasker.templates v
        cross join lateral (
            select
                t.state,
                greatest(
                    extract(epoch from t.completed_at - greatest(t.created_at, t.run_at)),
                    0
                )::float8 as seconds
            from tasker.tasks t
            where t.template_id = v.template_id
              and t.completed_at > v_from
              and t.completed_at <= v_until
        ) f
        group by 1, 2, 3, 4
        order by 5 desc;
end
$$;
comment on function tasker.take_finished_counts(float8[]) is
    'Tasks that have finished since the last call by any process, by namespace, template, state, '
    'and duration (bucket by p_bounds; seconds in all). Covers the last ten minutes at most, and '
    'leaves the last ten seconds to a later call. Empty while another process calls it.';
