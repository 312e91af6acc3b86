create function tasker.decision_problem(
    p_step     text,
    p_outcome  jsonb,
    p_tmpl     tasker.template_steps
)
returns text
language plpgsql stable as $$
declare
    v_chosen    text[] :=
        array(select distinct jsonb_array_elements_text(p_outcome -> 'create_steps'));
    v_children  text[];
    v_unknown   text[];
    v_deepest   int := (select c.max_decision_depth from tasker.settings c);
begin
    select array_agg(e.child order by child.position)
    into v_children
    from tasker.children_of(p_tmpl.template_id, p_tmpl.name) e
    cross join lateral tasker.template_step(p_tmpl.template_id, e.child) child;
    v_unknown := array(select c from unnest(v_chosen) c where c <> all (v_children) order by 1);

    if cardinality(v_unknown) > 0 then
        return format(
            '"%s" cannot create %s; it can choose from its direct children: %s',
            p_step,
            (
                select string_agg(
                    case
                        when exists (
                            select
                            from tasker.template_steps p
                            where p.template_id = p_tmpl.template_id
                              and p.name = u
                        ) then format('"%s" (not a direct child)', u)
                        else format('"%s" (no such step)', left(u, 100))
                    end,
                    ', ')
                from unnest(v_unknown[1:5]) u
            ),
            array_to_string(v_children, ', '));
    elsif cardinality(v_chosen) > 0 and p_tmpl.decision_depth > v_deepest then
        return format(
            'the decision "%s" is nested %s deep; '
            'the limit is %s (max_decision_depth in tasker.settings)',
            p_step, p_tmpl.decision_depth, v_deepest);
    end if;
    return null;
end
$$;
comment on function tasker.decision_problem(text, jsonb, tasker.template_steps) is
    'The problem of a decision''s choice, or null.';
