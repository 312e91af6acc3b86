create function tasker.refuse_large_result(p_result jsonb)
returns void
language plpgsql stable as $$
declare
    v_max    bigint := (select s.max_result_bytes from tasker.settings s);
    v_bytes  bigint := tasker.json_bytes(p_result, v_max);
begin
    if v_bytes > v_max then
        perform tasker.refuse_too_much('a result', v_bytes, v_max, 'bytes', 'max_result_bytes');
    end if;
end
$$;
comment on function tasker.refuse_large_result(jsonb) is
    'Refuses an operator''s result that is over max_result_bytes. '
    'Error: TK019.';
