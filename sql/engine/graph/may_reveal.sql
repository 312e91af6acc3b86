create function tasker.may_reveal(p_settled tasker.settled_step) returns boolean
language plpgsql stable as $$
begin
    -- Other ends than a success, and batches, are looked at in any case.
    if p_settled.state <> 'complete' or p_settled.step <> p_settled.template_step then
        return true;
    end if;

    -- After one of many, what depends on them mostly waits for another one.
    return exists (
        select
        from tasker.template_step(p_settled.template_id, p_settled.template_step) own
        where own.may_skip
    ) or exists (
        select
        from tasker.template_edges e
        cross join lateral tasker.template_step(p_settled.template_id, e.child) child
        where e.template_id = p_settled.template_id
          and e.parent = p_settled.template_step
          and (
              e.kind = 'failed' and child.type <> 'deferred'
              or not exists (
                  select
                  from tasker.template_edges o
                  cross join lateral tasker.template_step(p_settled.template_id, o.parent) other
                  cross join lateral (
                      select
                      from tasker.steps s
                      where s.task_id = p_settled.task_id
                        and s.name = o.parent
                        and not s.satisfied
                  ) waits
                  where o.template_id = p_settled.template_id
                    and o.child = e.child
                    and (
                        child.conditional
                        or other.handled
                        or other.may_skip
                        or other.type = 'decision'
                    )
              )
          )
    );
end
$$;
comment on function tasker.may_reveal(tasker.settled_step) is
    'Whether a step that has ended well may bring others into being: not, where each step that '
    'depends on it waits for another one to end.';
