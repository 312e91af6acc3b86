-- for: operator
create function tasker.set_setting(
    p_name   text,
    p_value  text,
    p_by     text default null
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_type     text;
    v_problem  text;
begin
    perform tasker.refuse_limited();

    select l.type
    into v_type
    from tasker.list_settings() l
    where l.name = p_name;

    if not found then
        raise exception 'there is no setting "%"', left(p_name, 100)
            using
                errcode = 'TK058',
                hint = 'The settings are '
                    || (
                        select string_agg(l.name, ', ' order by l.name)
                        from tasker.list_settings() l
                    )
                    || '.';
    end if;

    begin
        execute format('update tasker.settings set %I = $1::%s', p_name, v_type) using p_value;
    exception
        when data_exception or integrity_constraint_violation then
            get stacked diagnostics v_problem = message_text;
            raise exception 'the setting % cannot be %',
                p_name, coalesce(quote_literal(left(p_value, 100)), 'null')
                using
                    errcode = 'TK058',
                    detail = v_problem,
                    hint = (
                        select l.description
                        from tasker.list_settings() l
                        where l.name = p_name
                    );
    end;

    perform tasker.log_operation(
        'set_setting',
        null,
        p_by,
        null,
        jsonb_build_object('name', p_name, 'value', p_value)
    );
end
$$;
comment on function tasker.set_setting(text, text, text) is
    'Changes a setting of the engine, at once and for every process; p_value as text. '
    'Errors: TK058 no such setting, or a value it cannot have, TK053.';
