create function tasker.set_results_aside(
    p_msg_ids     bigint[],
    p_messages    jsonb[],
    p_large_only  boolean
)
returns setof bigint
language plpgsql volatile as $$
begin
    return query
        with wanted as (
            select distinct on (m.task_id, m.step, m.claim_no)
                m.msg_id,
                s.task_id,
                s.name,
                s.claim_no
            from (
                select
                    i.msg_id,
                    tasker.to_uuid(i.message ->> 'task_id') as task_id,
                    i.message ->> 'step' as step,
                    i.message ->> 'claim_no' as claim_no
                from unnest(p_msg_ids, p_messages) i(msg_id, message)
            ) m
            cross join lateral (
                select *
                from tasker.steps s
                where s.task_id = m.task_id
                  and s.name = m.step
                offset 0
            ) s
            where s.claim_no::text = m.claim_no
              and s.state = 'enqueued_for_orchestration'
              and (
                not p_large_only
                or s.error is null and tasker.cursor_count(s.decided) > 1000
              )
        ), kept as (
            insert into tasker.slow_results (task_id, step, claim_no, next_at)
            select w.task_id, w.name, w.claim_no, tasker.clock()
            from wanted w
            on conflict do nothing
        )
        select w.msg_id from wanted w;
end
$$;
comment on function tasker.set_results_aside(bigint[], jsonb[], boolean) is
    'Keeps results beside the queue, to be processed one by one: with p_large_only those that '
    'create many instances, else all of known steps. Returns their messages.';
