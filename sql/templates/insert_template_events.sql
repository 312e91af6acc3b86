create function tasker.insert_template_events(p_template_id uuid, p_steps jsonb) returns void
language plpgsql volatile as $$
begin
    insert into tasker.template_events (
        template_id,
        step,
        name,
        position,
        version,
        delivery,
        condition,
        schema
    )
    select
        p_template_id,
        s.s ->> 'name',
        e.e ->> 'name',
        e.n,
        coalesce(e.e ->> 'version', '1.0'),
        coalesce(e.e ->> 'delivery', 'durable'),
        coalesce(e.e ->> 'condition', 'success'),
        e.e -> 'schema'
    from jsonb_array_elements(p_steps) s(s)
    cross join lateral jsonb_array_elements(
        coalesce(s.s -> 'publishes_events', '[]')
    ) with ordinality e(e, n);
end
$$;
comment on function tasker.insert_template_events(uuid, jsonb) is
    'Writes the events that the steps of a valid template declare, with their defaults.';
