create function tasker.batch_results(p_task_id uuid, p_step text, p_after int default 0, p_max int default 1000)
returns table (instance int, step text, state text, inputs jsonb, result jsonb, error jsonb)
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
begin
    perform tasker.check_max(p_max);
    -- By name, which follows from the number: a page costs the same wherever it is.
    return query
        select s.instance, s.name, s.state::text, s.inputs, s.result, s.error
          from generate_series(coalesce(p_after, 0) + 1, coalesce(p_after, 0) + p_max) n
         cross join lateral (select * from tasker.steps s where s.task_id = p_task_id and s.name = tasker.instance_name(p_step, n) offset 0) s
         order by n;
end
$$;
comment on function tasker.batch_results(uuid, text, int, int) is 'The instances of a batch, in pages: those after number p_after, p_max at most. p_step: the batch_worker''s name in the template. Fewer than p_max rows: the last page. Error: TK008.';
