-- for: operator, readonly
-- planner: jit = off
-- requires: views/step_overview.sql
create function tasker.list_steps(
    p_task_id        uuid,
    p_states         tasker.step_state[] default null,
    p_template_step  text default null,
    p_after          text default null,
    p_max            int default 100
)
returns setof tasker.step_overview
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_after  tasker.step_overview;
    v_step   tasker.step_overview;
    v_most   bigint := (select c.max_answer_bytes from tasker.settings c);
    v_bytes  bigint := 0;
begin
    perform tasker.check_task(p_task_id);
    perform tasker.check_max(p_max);
    if p_after is not null then
        v_after := tasker.show_step(p_task_id, p_after);
    elsif not exists (select from tasker.tasks t where t.task_id = p_task_id) then
        perform tasker.refuse_unknown_task(p_task_id);
    end if;

    for v_step in
        select v.*
        from tasker.step_overview v
        where v.task_id = p_task_id
          and (p_states is null or v.state = any (p_states))
          and (p_template_step is null or v.template_step = p_template_step)
          and (p_after is null
              or (
                  v.level,
                  v.position,
                  coalesce(v.instance, 0),
                  v.step
              ) > (
                  v_after.level,
                  v_after.position,
                  coalesce(v_after.instance, 0),
                  v_after.step
              ))
        order by v.level, v.position, coalesce(v.instance, 0), v.step
        limit p_max
    loop
        -- Documents are measured as text, because a few stored bytes can be many digits.
        v_step.result := tasker.hide_large(v_step.result, v_most / 2);
        v_step.inputs := tasker.hide_large(v_step.inputs, v_most / 8);
        v_step.checkpoint := tasker.hide_large(v_step.checkpoint, v_most / 4);
        v_step.error := tasker.hide_large(v_step.error, v_most / 8);
        v_bytes := v_bytes
            + coalesce(octet_length(v_step.result::text), 0)
            + coalesce(octet_length(v_step.inputs::text), 0)
            + coalesce(octet_length(v_step.checkpoint::text), 0)
            + coalesce(octet_length(v_step.error::text), 0);

        -- This never ends the loop at the first step: each document is smaller than its share.
        exit when v_bytes > v_most;
        return next v_step;
    end loop;
end
$$;
comment on function tasker.list_steps(uuid, tasker.step_state[], text, text, int) is
    'The steps of a task, roots first, instances by number, at most p_max, and at most '
    'max_answer_bytes (tasker.settings) of documents together; the next page begins after the last '
    'step''s name, until a page is empty. A document larger than its share of that is hidden; '
    'show_step shows it. p_states, p_template_step: only those. '
    'Errors: TK004 task, TK032 no step p_after, TK008 p_max.';
