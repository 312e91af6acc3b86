create function tasker.current_version(p_namespace text, p_name text)
returns text
language plpgsql stable as $$
begin
    return (
        select t.version
        from tasker.templates t
        where t.namespace = p_namespace
          and t.name = p_name
        order by t.applied_no desc
        limit 1
    );
end
$$;
comment on function tasker.current_version(text, text) is
    'The current version of a template, which a null version means: the last one applied or chosen '
    'with use_template.';
