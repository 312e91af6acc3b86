-- for: worker
create function tasker.run_sql_handler(
    p_function  text,
    p_argument  jsonb,
    p_allow     text[] default null
)
returns jsonb
-- It has the invoker's rights and the invoker's search_path on purpose:
-- a function runs with no more than its worker's role may do.
language plpgsql volatile as $$
declare
    v_oid      oid;
    v_call     text;
    v_name     text;
    v_returns  text;
    v_result   jsonb;
    v_outcome  jsonb;
    v_problem  text;
begin
    -- The name is looked up, never pasted: the call is built from the catalog.
    begin
        v_oid := to_regprocedure(
            (select string_agg(quote_ident(i), '.') from unnest(parse_ident(p_function)) i)
            || '(jsonb)');
    exception
        when invalid_parameter_value or invalid_name or syntax_error or feature_not_supported then
            v_oid := null;
    end;
    select
        format('%I.%I', n.nspname, p.proname),
        n.nspname || '.' || p.proname,
        format_type(p.prorettype, null)
    into v_call, v_name, v_returns
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where p.oid = v_oid
      and p.prokind = 'f'
      and not p.proretset;
    if v_call is null then
        raise exception 'there is no function %(jsonb) that returns one value',
            coalesce(p_function, 'null')
            using errcode = 'TKP01',
                hint = 'Create it, or correct config.function: '
                    'a name such as shop.reserve that the worker''s role can see.';
    end if;

    -- In a pattern * stands for any text; everything else in it means itself.
    if p_allow is not null and not exists (
        select
        from unnest(p_allow) a
        where v_name like
            replace(replace(replace(replace(a, '!', '!!'), '_', '!_'), '%', '!%'), '*', '%')
            escape '!'
    ) then
        raise exception 'the worker may not call function %', v_name
            using errcode = 'TKP01',
                hint = 'TASKER_SQL_ALLOW of the worker names the functions '
                    'that sql steps may call: shop.reserve, shop.*.';
    end if;

    if v_returns = 'jsonb' then
        execute format('select %s($1)', v_call) into v_result using p_argument;
    elsif v_returns = 'void' then
        execute format('select %s($1)', v_call) using p_argument;
    else
        execute format('select to_jsonb(%s($1))', v_call) into v_result using p_argument;
    end if;
    if current_setting('transaction_read_only')::boolean and not pg_is_in_recovery() then
        raise exception '% has made its transaction read-only, so that its step cannot complete',
            v_name
            using errcode = 'TKP01';
    end if;

    if jsonb_typeof(v_result) = 'object' and v_result ? '$tasker' then
        v_outcome := v_result -> '$tasker';
    else
        v_outcome := jsonb_build_object('type', 'success', 'result', v_result);
    end if;

    -- The size is checked here, so that nothing that will be refused goes to the worker:
    -- 36 KB of numbers may be 400 MB as text.
    if pg_column_size(v_outcome) > 80 then
        v_problem := tasker.outcome_too_large(v_outcome);
        if v_problem is not null then
            raise exception '%', v_problem using errcode = 'TKP02';
        elsif v_outcome ->> 'type' = 'failure' and length(v_outcome ->> 'message') > 10000 then
            v_outcome := v_outcome
                || jsonb_build_object('message', left(v_outcome ->> 'message', 10000));
        end if;
    end if;
    return v_outcome;
end
$$;
comment on function tasker.run_sql_handler(text, jsonb, text[]) is
    'The built-in sql handler: calls the function name(jsonb) in the caller''s own role and '
    'returns an outcome: the function''s return value is the result, or the outcome itself if it '
    'is an object with the key $tasker. Exceptions pass through. '
    'p_allow: patterns such as shop.* of the functions that may be called; null: all. '
    'Errors: TKP01 no such function, or one that may not be called; TKP02 the outcome is over its '
    'limit.';
