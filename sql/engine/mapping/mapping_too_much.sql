create function tasker.mapping_too_much(p_task_id uuid, p_steps text[]) returns jsonb
language plpgsql stable as $$
declare
    v_limit  bigint := (select c.max_claim_bytes from tasker.settings c);
    v_bytes  bigint;
begin
    if cardinality(p_steps) * (
            select t.largest_result::bigint from tasker.tasks t where t.task_id = p_task_id
       ) <= v_limit
    then
        return null;
    end if;

    v_bytes := (
        select coalesce(sum(step.result_bytes), 0)
        from unnest(p_steps) n(name)
        cross join lateral (
            select s.result_bytes
            from tasker.steps s
            where s.task_id = p_task_id
              and s.name = n.name
              and s.satisfied
            offset 0
        ) step
    );
    if v_bytes <= v_limit then
        return null;
    end if;
    return tasker.mapping_error('input_too_large', format(
        'the results that its paths name have %s bytes; they may have %s '
        '(max_claim_bytes in tasker.settings)',
        v_bytes, v_limit));
end
$$;
comment on function tasker.mapping_too_much(uuid, text[]) is
    'An error where the results that a mapping looks into are more than a claim may have.';
