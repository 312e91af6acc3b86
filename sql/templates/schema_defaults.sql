create function tasker.schema_defaults(p_schema jsonb) returns jsonb
language sql immutable parallel safe as $$
    select jsonb_object_agg(p.name, p.schema -> 'default')
    from jsonb_each(
        case jsonb_typeof(p_schema -> 'properties')
            when 'object' then p_schema -> 'properties'
            else '{}'
        end
    ) p(name, schema)
    where jsonb_typeof(p.schema) = 'object'
      and p.schema ? 'default'
$$;
comment on function tasker.schema_defaults(jsonb) is
    'The default values of the properties that an input_schema lists; null: none.';
