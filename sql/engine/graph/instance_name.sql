create function tasker.instance_name(p_step text, p_instance bigint) returns text
language sql immutable parallel safe as $$
    select p_step || '_' || lpad(p_instance::text, greatest(3, length(p_instance::text)), '0')
$$;
comment on function tasker.instance_name(text, bigint) is
    'The name of an instance of a batch_worker: <step>_001 to <step>_999, <step>_1000 and so on.';
