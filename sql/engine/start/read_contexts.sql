create function tasker.read_contexts(
    p_task_ids    uuid[],
    out contexts  text[],
    out errors    jsonb[],
    out taken     int
)
language plpgsql stable as $$
declare
    c_bytes  constant bigint := 16 * 1024 * 1024;
    c_steps  constant int := 20000;
    v_bytes  bigint := 0;
    v_steps  bigint := 0;
    v_one    record;
    v_check  record;
begin
    taken := 0;
    contexts := array_fill(null::text, array[cardinality(p_task_ids)]);
    errors := array_fill(null::jsonb, array[cardinality(p_task_ids)]);

    -- Bounded by the steps to be made and by the bytes to be checked; one request always.
    for v_one in
        select
            r.n::int,
            r.task_id,
            v.input_schema is not null as checked,
            coalesce(c.steps, 0) as steps
        from unnest(p_task_ids) with ordinality r(task_id, n)
        cross join lateral (
            select * from tasker.tasks t where t.task_id = r.task_id offset 0
        ) t
        join tasker.templates v on v.template_id = t.template_id
        left join (
            select p.template_id, count(*) as steps
            from tasker.template_steps p
            where p.template_id in (
                select t.template_id
                from tasker.tasks t
                where t.task_id = any (p_task_ids)
              )
              and p.initial
            group by p.template_id
        ) c on c.template_id = t.template_id
        order by r.n
    loop
        exit when taken > 0
              and (v_steps + v_one.steps > c_steps or v_bytes >= c_bytes);
        v_steps := v_steps + v_one.steps;
        if v_one.checked then
            v_check := tasker.request_context(v_one.task_id);
            exit when taken > 0
                  and v_bytes + octet_length(v_check.context) > c_bytes;
            v_bytes := v_bytes + coalesce(octet_length(v_check.context), 0);
            contexts[v_one.n] := v_check.context;
            if v_check.too_large then
                errors[v_one.n] :=
                    '{"code": "input_too_large", '
                    '"message": "the context has more than 100 MiB as text: '
                    'it cannot be checked against the input_schema"}';
            end if;
        end if;
        taken := v_one.n;
    end loop;

    contexts := contexts[:taken];
    errors := errors[:taken];
end
$$;
comment on function tasker.read_contexts(uuid[]) is
    'The contexts to check before tasks start, for as many tasks as one call takes: at most about '
    '20,000 steps and 16 MiB of contexts. contexts: as text if there is an input_schema; errors: '
    'for one that cannot be checked; taken: how many tasks, from the first.';
