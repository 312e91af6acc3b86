create function tasker.add_task_dead_letters(
    p_task_ids  uuid[],
    p_reasons   text[],
    p_steps     text[],
    p_details   text[]
)
returns setof text
language plpgsql volatile as $$
declare
    v_half  int := cardinality(p_task_ids) / 2;
begin
    -- Entries are added in the order of the tasks, since two calls that add the same ones wait for
    -- each other. A pending entry is looked for first, since the snapshot of an entry that is not
    -- added would be work for nothing.
    return query
        insert into tasker.dead_letters (
            entry_id,
            reason,
            task_id,
            step,
            detail,
            snapshot,
            created_at
        )
        select
            tasker.new_id(),
            i.reason,
            i.task_id,
            i.step,
            left(i.detail, 1000),
            tasker.task_snapshot(i.task_id),
            tasker.clock()
        from (
            select distinct on (n.task_id) n.*
            from unnest(p_task_ids, p_reasons, p_steps, p_details)
                with ordinality n(task_id, reason, step, detail, n)
            order by n.task_id, n.n
        ) i
        where not exists (
                select from tasker.dead_letters d
                where d.task_id = i.task_id
                  and d.status = 'pending'
                  and d.reason <> 'bad_message'
            )
          -- If nothing has moved since somebody closed an entry for the same reason, the task has
          -- been looked at already.
          and (
                i.reason = 'manual'
                or not exists (
                    select from tasker.dead_letters d
                    join tasker.tasks t on t.task_id = d.task_id
                    where d.task_id = i.task_id
                      and d.reason = i.reason
                      and d.resolved_at >= t.updated_at
                )
            )
        order by i.task_id
        on conflict (task_id) where status = 'pending' and reason <> 'bad_message' do nothing
        returning reason;
exception when lock_not_available then
    -- Somebody adds an entry for one of these tasks and has not committed. That entry is enough for
    -- its task; the halves are tried apart so that the other tasks get theirs.
    if v_half = 0 then
        return;
    end if;
    return query
        select tasker.add_task_dead_letters(
            p_task_ids[:v_half],
            p_reasons[:v_half],
            p_steps[:v_half],
            p_details[:v_half]
        );
    return query
        select tasker.add_task_dead_letters(
            p_task_ids[v_half + 1:],
            p_reasons[v_half + 1:],
            p_steps[v_half + 1:],
            p_details[v_half + 1:]
        );
end
$$;
comment on function tasker.add_task_dead_letters(uuid[], text[], text[], text[]) is
    'Adds an entry with a snapshot for each task without a pending entry. '
    'Returns the reason of each entry added. The tasks are not touched.';
