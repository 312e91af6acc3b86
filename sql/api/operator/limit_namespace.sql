-- for: operator
-- planner: jit = off
create function tasker.limit_namespace(
    p_namespace  text,
    p_max_depth  int,
    p_reason     text default null,
    p_by         text default null
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.refuse_unknown_namespace(p_namespace);
    if p_max_depth < 1 then
        raise exception 'max_depth must be 1 or more; it is %', p_max_depth
            using
                errcode = 'TK008',
                hint = 'null removes the limit; tasker.pause_namespace stops a namespace.';
    end if;

    update tasker.namespaces n
    set max_depth = p_max_depth
    where n.namespace = p_namespace;

    perform tasker.log_operation(
        'limit', p_namespace, p_by, p_reason, jsonb_build_object('max_depth', p_max_depth)
    );
end
$$;
comment on function tasker.limit_namespace(text, int, text, text) is
    'At most p_max_depth steps wait in the namespace''s queue; '
    'more are held and sent by priority as it empties. null: no limit. '
    'Errors: TK001 no such namespace, TK008 a limit below 1, TK052 by or reason.';
