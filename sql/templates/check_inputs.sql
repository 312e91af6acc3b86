create function tasker.check_inputs(p_step jsonb, p_path text, p_constants jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
begin
    return query
    select * from tasker.check_required(p_step, p_path);
    if p_step ->> 'type' = 'batch_worker' and p_step ? 'inputs' then
        return query
        select
            p_path || '/inputs',
            'invalid_value',
            'the inputs of each step of a batch_worker are its cursor: leave them out, and let the '
            'batchable put into the cursors what they need';
        return;
    end if;

    return query
    select *
    from tasker.check_mapping(
        p_step -> 'inputs',
        p_path || '/inputs',
        'inputs',
        'parents',
        tasker.parent_names(p_step),
        p_constants);
end
$$;
comment on function tasker.check_inputs(jsonb, text, jsonb) is
    'Problems with the inputs of one step of a template.';
