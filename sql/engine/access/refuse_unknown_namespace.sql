create function tasker.refuse_unknown_namespace(p_namespace text)
returns void
language plpgsql stable as $$
begin
    if not exists (select from tasker.namespaces n where n.namespace = p_namespace)
      or not coalesce(p_namespace = any (tasker.limits()), true) then
        raise exception 'there is no namespace "%"', coalesce(left(p_namespace, 100), 'null')
            using
                errcode = 'TK001',
                hint = 'A namespace is created with its first template: tasker template apply '
                    'FILE, or tasker.apply_template.';
    end if;
end
$$;
comment on function tasker.refuse_unknown_namespace(text) is
    'Raises TK001 if there is no such namespace.';
