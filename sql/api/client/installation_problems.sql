-- for: client, consumer, worker, orchestrator, operator, readonly
-- planner: jit = off
create function tasker.installation_problems()
returns table (
    code     text,
    problem  text,
    remedy   text
)
-- It is about row security, and so is not stopped by it.
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
begin
    -- Without pgmq nothing else can be looked at.
    return query
        select * from tasker.pgmq_problems();
    if found then
        return;
    end if;

    -- The tables, the functions, and the triggers must be usable by the owner of the functions.
    return query
        select * from tasker.table_problems()
        union all
        select * from tasker.function_problems()
        order by 1, 2;

    -- These tables are filled by the migration and are never empty.
    if not exists (select from tasker.settings)
       or not exists (select from tasker.task_moves)
       or not exists (select from tasker.step_moves)
       or not exists (select from tasker.sweeps)
    then
        return query
            select
                'rows',
                'tables settings, task_moves, step_moves, or sweeps are empty: '
                'restored without rows, or hidden by row security',
                'run tasker migrate, which fills them';
    end if;

    return query
        select
            'queue',
            format('queue %s is missing', needed.queue),
            'run tasker migrate or start an orchestrator, which recreate it; the sweep sends its '
            'messages again'
        from tasker.expected_queues() needed
        where to_regclass(format('pgmq.%I', 'q_' || needed.queue)) is null
          and (tasker.limits() is null or tasker.may_see_entry(needed.queue, null))
        order by needed.queue;
end
$$;
comment on function tasker.installation_problems() is
    'The problems that keep this installation from working, and how to fix them: after a restore, '
    'or after a change by the database''s administrator. code: pgmq, row_security, owner, trigger, '
    'rows; queue, which an orchestrator repairs when it starts.';
