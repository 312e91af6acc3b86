create function tasker.task_result(p_task_id uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    v_done    boolean;
    v_result  jsonb;
begin
    perform tasker.check_task(p_task_id);
    select t.state in ('complete', 'resolved_manually'), t.result into v_done, v_result from tasker.tasks t where t.task_id = p_task_id;
    if not found then
        perform tasker.refuse_unknown_task(p_task_id);
    elsif v_done and v_result is null then
        select coalesce(jsonb_object_agg(p.name, case when p.type = 'batch_worker' then tasker.batch_summary(t.task_id, p.name) else s.result end), '{}') into v_result
          from tasker.tasks t
          join tasker.templates v on v.template_id = t.template_id
          join tasker.template_steps p on p.template_id = t.template_id
         -- Where steps may not exist, a leaf is what has none that depends on it in this task. A batch is there if
         -- its first instance is; one without instances is there too, below its batchable.
         cross join lateral (select case when v.dynamic then p.type <> 'batchable' and not exists (
                                        select from tasker.template_edges e
                                          join tasker.steps c on c.task_id = t.task_id and c.name in (e.child, tasker.instance_name(e.child, 1))
                                         where e.template_id = t.template_id and e.parent = p.name)
                                    else p.is_leaf end as is_leaf offset 0) l
          left join tasker.steps s on s.task_id = t.task_id and s.name = p.name
         where t.task_id = p_task_id and l.is_leaf
           and (s.satisfied or p.type = 'batch_worker' and exists (select from tasker.template_edges e join tasker.steps b on b.task_id = t.task_id and b.name = e.parent
                                                                     where e.template_id = t.template_id and e.child = p.name and b.satisfied));
    end if;
    return v_result;
end
$$;
comment on function tasker.task_result(uuid) is 'The results of a finished task''s leaf steps (those nothing depends on) by name, of a batch its summary, or what an operator gave who resolved it; null while it is not complete. Error: TK004 no such task.';
