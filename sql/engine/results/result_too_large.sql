create function tasker.result_too_large(
    p_result  jsonb,
    p_what    text default 'result',
    p_times   int default 1
)
returns text
language plpgsql stable as $$
declare
    v_max   bigint := (select c.max_result_bytes * p_times::bigint from tasker.settings c);
    v_size  bigint := tasker.json_bytes(p_result, v_max);
begin
    return case
        when v_size > v_max then format(
            'the %s has %s bytes; the limit is %s (%smax_result_bytes in tasker.settings)',
            p_what,
            v_size,
            v_max,
            case when p_times > 1 then p_times || ' times ' else '' end)
    end;
end
$$;
comment on function tasker.result_too_large(jsonb, text, int) is
    'The problem of a result that is over the limit, or p_times the limit; else null. '
    'The caller asks only about outcomes of more than 1,000 bytes.';
