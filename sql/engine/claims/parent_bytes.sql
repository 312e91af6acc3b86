create function tasker.parent_bytes(
    p_task_id        uuid,
    p_template_id    uuid,
    p_template_step  text
)
returns bigint
language plpgsql stable as $$
begin
    return (
        select coalesce(
            sum(
                coalesce(q.result_bytes, octet_length(q.result::text))
                + octet_length(q.name)),
            0)
        from tasker.template_edges e
        cross join lateral (
            select q.name, q.result, q.result_bytes
            from tasker.steps q
            where q.task_id = p_task_id
              and q.name = e.parent
              and q.satisfied
            offset 0
        ) q
        where e.template_id = p_template_id
          and e.child = p_template_step
    );
end
$$;
comment on function tasker.parent_bytes(uuid, uuid, text) is
    'Bytes, as text, of the results of a step''s parents. Batches are not counted: their summaries '
    'are small.';
