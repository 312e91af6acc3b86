-- for: operator
-- planner: jit = off, enable_nestloop = off
create function tasker.apply_template(p_definition jsonb, p_by text default null)
returns table (template_id uuid, created boolean, was text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
as $$
declare
    v_namespace  text := p_definition ->> 'namespace';
    v_name       text := p_definition ->> 'name';
    v_version    text := p_definition ->> 'version';
    v_hash       text;
    v_known      record;
    v_current    text;
begin
    perform tasker.check_namespace(v_namespace);
    perform tasker.refuse_invalid_template(p_definition);
    perform tasker.lock_namespace(v_namespace);

    v_hash := encode(sha256(convert_to(p_definition::text, 'UTF8')), 'hex');
    select t.template_id, t.content_hash
    into v_known
    from tasker.templates t
    where t.namespace = v_namespace
      and t.name = v_name
      and t.version = v_version;
    if v_known.content_hash <> v_hash then
        raise exception 'version % of template %.% is already applied with other content',
            v_version, v_namespace, v_name
            using errcode = 'TK011',
                hint = 'A version never changes once applied: '
                    'give the changed template a new version.';
    end if;
    v_current := tasker.current_version(v_namespace, v_name);

    perform tasker.create_template_queues(p_definition);
    perform tasker.log_operation(
        'apply', v_namespace, p_by, null,
        jsonb_build_object(
            'name', v_name,
            'version', v_version,
            'created', v_known.template_id is null));

    -- A known version that is applied again is the one applied last.
    if v_known.template_id is not null then
        update tasker.templates t
        set applied_no = nextval('tasker.template_applied_no')
        where t.template_id = v_known.template_id;
        return query select v_known.template_id, false, nullif(v_current, v_version);
        return;
    end if;
    return query select tasker.insert_template(p_definition, v_hash), true, v_current;
exception when lock_not_available then
    raise exception 'namespace % is held by another transaction, '
        'which may be applying a template',
        v_namespace
        using errcode = 'TK012',
            hint = 'Try again in a moment. pg_stat_activity shows transactions that stay open.';
end
$$;
comment on function tasker.apply_template(jsonb, text) is
    'Adds a version of a template, and its namespace and queue if they are new. '
    'Applying the same content again makes it the version that runs, and recreates a missing '
    'queue. was: the version that ran before, if it was another one. '
    'Errors: TK010 not valid, TK011 the version exists with other content, TK012 another '
    'transaction holds the namespace for over ten seconds, TK052 by, TK053 the caller is limited '
    'to other namespaces.';
