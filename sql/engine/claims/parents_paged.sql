create function tasker.parents_paged(
    p_task_id        uuid,
    p_template_id    uuid,
    p_template_step  text,
    p_parents        int,
    p_largest        int
)
returns boolean
language sql stable as $$
    select case
        when p_parents::bigint * p_largest <= (select c.max_claim_bytes from tasker.settings c)
            then false
        else tasker.parent_bytes(p_task_id, p_template_id, p_template_step)
            > (select c.max_claim_bytes from tasker.settings c)
    end
$$;
comment on function tasker.parents_paged(uuid, uuid, text, int, int) is
    'Whether the results of a step''s parents are over max_claim_bytes, '
    'so that its worker has to read them by pages.';
