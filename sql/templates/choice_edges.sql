create function tasker.choice_edges(p_steps jsonb)
returns table (parent int, child int, kind text, choice int)
language sql immutable as $$
    select
        p.n::int,
        d.step_n::int,
        d.kind,
        case
            when d.kind = 'failed' then -3 * p.n
            when h.may_skip and not p.s ? 'when_false' then -3 * p.n - 1
            when d.kind = 'complete' and h.handled and not p.s ? 'on_error' then -3 * p.n - 2
        end::int
    from tasker.template_dependencies(p_steps) d
    join jsonb_array_elements(p_steps) with ordinality p(s, n) on p.s -> 'name' = d.dependency
    join tasker.step_ends(p_steps) h on h.n = p.n
$$;
comment on function tasker.choice_edges(jsonb) is
    'The edges of a valid template, by the places of its steps from 1. kind: how the parent must '
    'have ended. choice: a negative number '
    'for the end of the parent that an edge needs: that it fails, is not skipped, or does not '
    'fail; null: it needs no other end than all have.';
