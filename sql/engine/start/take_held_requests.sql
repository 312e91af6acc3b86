create function tasker.take_held_requests(
    p_max         int,
    out task_ids  uuid[],
    out more      boolean
)
language plpgsql volatile as $$
begin
    -- While requests wait beside the queue, the others join them and all are taken in turn.
    perform tasker.hold_requests();
    task_ids := array(select tasker.requests_in_turn(p_max));
    more := cardinality(task_ids) > 0;

    -- The requests of tasks that were cancelled while they waited.
    delete from tasker.held_requests h
    where h.task_id = any (task_ids)
      and not exists (
        select
        from tasker.tasks t
        where t.task_id = h.task_id
          and t.state = 'pending'
      );
    task_ids := array(
        select r.task_id
        from unnest(task_ids) with ordinality r(task_id, n)
        where exists (select from tasker.held_requests h where h.task_id = r.task_id)
        order by r.n
    );
end
$$;
comment on function tasker.take_held_requests(int) is
    'Takes up to p_max requests of pending tasks from those that wait beside their queue, '
    'in turn by namespace. more: there may be others.';
