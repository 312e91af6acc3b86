create function tasker.check_namespaces(p_namespaces text[]) returns void
language plpgsql stable as $$
begin
    if tasker.limits() is not null then
        perform tasker.check_namespace(n) from unnest(p_namespaces) n;
    end if;
end
$$;
comment on function tasker.check_namespaces(text[]) is
    'Calls check_namespace for each. Error: TK053.';
