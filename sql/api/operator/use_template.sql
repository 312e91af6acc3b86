-- for: operator
-- planner: jit = off
create function tasker.use_template(
    p_namespace  text,
    p_name       text,
    p_version    text,
    p_reason     text default null,
    p_by         text default null
)
returns table (template_id uuid, created boolean, was text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id       uuid;
    v_current  text;
begin
    if p_version is null then
        raise exception 'say which version of template "%" is to run', left(p_name, 100)
            using errcode = 'TK003',
                hint = 'tasker template list (tasker.template_overview) shows all versions.';
    end if;

    v_id := (tasker.find_template(p_namespace, p_name, p_version)).template_id;
    v_current := tasker.current_version(p_namespace, p_name);
    if v_current <> p_version then
        update tasker.templates t
        set applied_no = nextval('tasker.template_applied_no')
        where t.template_id = v_id;
        perform tasker.log_operation(
            'apply', p_namespace, p_by, p_reason,
            jsonb_build_object('name', p_name, 'version', p_version, 'created', false));
    end if;
    return query select v_id, false, nullif(v_current, p_version);
end
$$;
comment on function tasker.use_template(text, text, text, text, text) is
    'Chooses the applied version that runs when an enqueue names no version. '
    'Tasks that have begun keep their own. was: the version that ran before; null if it was this '
    'one. Errors: TK001, TK002, TK003, TK052 reason or by.';
