create function tasker.check_entry(p_entry_id uuid) returns void
language plpgsql stable as $$
begin
    if tasker.limits() is not null and not exists (
        select from tasker.dead_letters d
        where d.entry_id = p_entry_id
          and tasker.may_see_entry(d.queue, d.task_id)
    ) then
        perform tasker.refuse_unknown_dead_letter(p_entry_id);
    end if;
end
$$;
comment on function tasker.check_entry(uuid) is
    'For a limited caller, dead letters of other namespaces do not exist. '
    'Error: TK040.';
