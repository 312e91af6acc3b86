create function tasker.check_depth(p_steps jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_most   int := (select s.max_template_depth from tasker.settings s);
    v_depth  int;
begin
    if jsonb_array_length(p_steps) <= v_most then
        return;
    end if;
    v_depth := (select max(l.level) + 1 from tasker.graph_levels(p_steps) l);
    if v_depth > v_most then
        return query
        select
            '/steps',
            'too_large',
            format(
                'a path may have %s steps (max_template_depth in tasker.settings); this one has '
                '%s: let one step do several things, or enqueue a task that continues',
                v_most, v_depth);
    end if;
end
$$;
comment on function tasker.check_depth(jsonb) is
    'A problem if the longest path through a template is over max_template_depth in '
    'tasker.settings.';
