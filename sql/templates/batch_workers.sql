create function tasker.batch_workers(p_steps jsonb) returns text[]
language sql immutable as $$
    select array_agg(s ->> 'name')
    from jsonb_array_elements(p_steps) s
    where s ->> 'type' = 'batch_worker'
$$;
comment on function tasker.batch_workers(jsonb) is 'The batches in a list of steps; null: none.';
