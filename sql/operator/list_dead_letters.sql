-- requires: views/dlq_overview.sql
create function tasker.list_dead_letters(p_reason text default null, p_status text default null, p_task_id uuid default null, p_after uuid default null, p_max int default 100)
returns setof tasker.dlq_overview
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    v_after tasker.dlq_overview;
begin
    perform tasker.check_max(p_max);
    if p_after is not null then
        select v.* into v_after from tasker.dlq_overview v where v.entry_id = p_after;
        if not found then
            perform tasker.refuse_dlq_entry(p_after);
        end if;
    end if;
    return query
        select v.* from tasker.dlq_overview v
         where (p_reason is null or v.reason = p_reason) and (p_status is null or v.status = p_status) and (p_task_id is null or v.task_id = p_task_id)
           and (p_after is null or (v.status <> 'pending', v.priority, v.created_at, v.entry_id) > (v_after.status <> 'pending', v_after.priority, v_after.created_at, v_after.entry_id))
         order by v.status <> 'pending', v.priority, v.created_at, v.entry_id
         limit p_max;
end
$$;
comment on function tasker.list_dead_letters(text, text, uuid, uuid, int) is 'Dead letters in the order to look at them, at most p_max; the next page begins after the last one''s entry_id. Errors: TK040 no entry p_after, TK008 p_max.';
