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
                '%s steps may come one after the other (max_template_depth in tasker.settings); '
                'here %s do: one step can do several things, or enqueue a task that goes on',
                v_most, v_depth);
    end if;
end
$$;
comment on function tasker.check_depth(jsonb) is
    'A problem where the longest way through a template is over max_template_depth '
    'in tasker.settings.';
