create function tasker.cursors_problem(
    p_step     text,
    p_outcome  jsonb,
    p_tmpl     tasker.template_steps
)
returns text
language plpgsql stable as $$
declare
    v_workers  text[];
    v_most     int := (select c.max_instances from tasker.settings c);
begin
    select array_agg(e.child order by child.position) filter (where child.type = 'batch_worker')
    into v_workers
    from tasker.children_of(p_tmpl.template_id, p_tmpl.name) e
    cross join lateral tasker.template_step(p_tmpl.template_id, e.child) child;

    return case
        when p_outcome ->> 'worker_step' is null and cardinality(v_workers) > 1
          or p_outcome ->> 'worker_step' <> all (v_workers)
            then format(
                'the worker_step of "%s" is one of %s; it is %s',
                p_step,
                array_to_string(v_workers, ', '),
                coalesce(left((p_outcome -> 'worker_step')::text, 100), 'missing'))
        when jsonb_array_length(p_outcome -> 'cursors') > v_most
            then format(
                '"%s" gave %s cursors; the limit is %s (max_instances in tasker.settings): '
                'let each cover more',
                p_step, jsonb_array_length(p_outcome -> 'cursors'), v_most)
        else tasker.cursors_too_large(p_outcome -> 'cursors')
    end;
end
$$;
comment on function tasker.cursors_problem(text, jsonb, tasker.template_steps) is
    'The problem of the cursors that a batchable gave, or null.';
