create function tasker.find_template(
    p_namespace      text,
    p_name           text,
    p_version        text,
    out template_id  uuid,
    out defaults     jsonb
)
language plpgsql stable as $$
begin
    select t.template_id, t.defaults
    into template_id, defaults
    from tasker.templates t
    where t.namespace = p_namespace
      and t.name = p_name
      and (p_version is null or t.version = p_version)
    order by t.applied_no desc
    limit 1;

    if found and coalesce(p_namespace = any (tasker.limits()), true) then
        return;
    elsif not exists (select from tasker.namespaces n where n.namespace = p_namespace)
       or not tasker.may_use(p_namespace)
    then
        raise exception 'there is no namespace "%"', coalesce(left(p_namespace, 100), 'null')
            using errcode = 'TK001',
                hint = 'A namespace is created with its first template: tasker template apply '
                    'FILE, or tasker.apply_template. Known: '
                    || coalesce(
                        (
                            select string_agg(n.namespace, ', ' order by n.namespace)
                            from (
                                select namespace
                                from tasker.namespaces
                                where tasker.may_use(namespace)
                                order by 1
                                limit 20
                            ) n
                        ),
                        'none');
    elsif not exists (
        select
        from tasker.templates t
        where t.namespace = p_namespace
          and t.name = p_name
    ) then
        raise exception 'there is no template "%" in namespace "%"',
            coalesce(left(p_name, 100), 'null'), p_namespace
            using errcode = 'TK002',
                hint = 'Apply it first: tasker template apply FILE, or tasker.apply_template. '
                    'Known here: '
                    || coalesce(
                        (
                            select string_agg(x.name, ', ' order by x.name)
                            from (
                                select distinct name
                                from tasker.templates t
                                where t.namespace = p_namespace
                                order by 1
                                limit 20
                            ) x
                        ),
                        'none');
    end if;

    raise exception 'template %.% has no version "%"', p_namespace, p_name, left(p_version, 100)
        using errcode = 'TK003',
            hint = 'Leave the version out to use the current one (applied or used last). Known: '
                || (
                    select string_agg(x.version, ', ')
                    from (
                        select t.version
                        from tasker.templates t
                        where t.namespace = p_namespace
                          and t.name = p_name
                        order by t.applied_no desc
                        limit 20
                    ) x
                );
end
$$;
comment on function tasker.find_template(text, text, text) is
    'The template of a name and version, and its default values of a context; '
    'a null version means the current one (applied or used last). Errors: TK001, TK002, TK003.';
