-- requires: views/step_overview.sql
create function tasker.list_steps(p_task_id uuid, p_states tasker.step_state[] default null, p_template_step text default null, p_after text default null, p_max int default 100)
returns setof tasker.step_overview
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    v_after tasker.step_overview;
begin
    perform tasker.check_task(p_task_id);
    perform tasker.check_max(p_max);
    if p_after is not null then
        v_after := tasker.show_step(p_task_id, p_after);
    elsif not exists (select from tasker.tasks t where t.task_id = p_task_id) then
        perform tasker.refuse_unknown_task(p_task_id);
    end if;
    return query
        select v.* from tasker.step_overview v
         where v.task_id = p_task_id and (p_states is null or v.state = any (p_states)) and (p_template_step is null or v.template_step = p_template_step)
           and (p_after is null or (v.level, v.position, coalesce(v.instance, 0), v.step) > (v_after.level, v_after.position, coalesce(v_after.instance, 0), v_after.step))
         order by v.level, v.position, coalesce(v.instance, 0), v.step
         limit p_max;
end
$$;
comment on function tasker.list_steps(uuid, tasker.step_state[], text, text, int) is 'The steps of a task, roots first, instances by number, at most p_max; the next page begins after the last one''s name. p_states, p_template_step: only those. Errors: TK004 task, TK032 no step p_after, TK008 p_max.';
