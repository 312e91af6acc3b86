create function tasker.refuse_invalid_template(p_definition jsonb) returns void
language plpgsql stable as $$
declare
    v_problems  text[];
begin
    select array_agg(case when p.path = '' then '' else p.path || ': ' end || p.message)
    into v_problems
    from tasker.validate_template(p_definition) p;
    if v_problems is not null then
        raise exception 'the template is not valid: %',
            v_problems[1] || case
                when cardinality(v_problems) > 1
                    then format(' (and %s more)', cardinality(v_problems) - 1)
                else ''
            end
            using errcode = 'TK010',
                detail = array_to_string(v_problems, E'\n'),
                hint = 'select * from tasker.validate_template(...) lists every problem.';
    end if;
end
$$;
comment on function tasker.refuse_invalid_template(jsonb) is
    'Raises TK010 with every problem of a template that is not valid.';
