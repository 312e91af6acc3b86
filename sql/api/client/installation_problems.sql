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
    if to_regprocedure('pgmq.send_batch(text,jsonb[],jsonb[],timestamptz)') is null then
        return query
            select
                'pgmq',
                'pgmq is not installed in this database, or is older than 1.8',
                'run tasker migrate, which installs it, or: alter extension pgmq update';
        return;
    end if;
    if to_regclass('pgmq.meta') is null then
        return query
            select
                'pgmq',
                'schema pgmq lacks the table meta, which lists the queues',
                'restore schema pgmq too, or drop it and run tasker migrate, which installs it';
        return;
    end if;

    -- The tables, the functions, and the triggers must be usable by the owner of the functions.
    return query
        with tables as materialized (
            select
                c.oid,
                c.relowner,
                c.relrowsecurity,
                c.relforcerowsecurity,
                c.relkind
            from pg_class c
            where c.relnamespace = 'tasker'::regnamespace
              and c.relkind in ('r', 'p')
            union all
            select
                c.oid,
                c.relowner,
                c.relrowsecurity,
                c.relforcerowsecurity,
                c.relkind
            from tasker.expected_queues() q
            join pg_class c
              on c.relnamespace = 'pgmq'::regnamespace
             and c.relname = 'q_' || q.queue
            where tasker.limits() is null
               or tasker.may_see_entry(q.queue, null)
        ), me as (
            select
                r.oid,
                r.rolname,
                r.rolsuper or r.rolbypassrls as passes
            from pg_roles r
            where r.rolname = current_user
        )
        select
            'row_security',
            format(
                'row security hides rows of %s from %s, whom the functions of Tasker run as',
                t.oid::regclass,
                m.rolname
            ),
            format(
                'alter table %s no force row level security, disable row level security;',
                t.oid::regclass
            )
        from tables t, me m
        where t.relrowsecurity
          and not m.passes
          and (t.relforcerowsecurity or not pg_has_role(t.relowner, 'usage'))
        union all
        select
            'owner',
            format(
                'table %s belongs to %s, and %s, whom the functions of Tasker run as, '
                'may not use it',
                t.oid::regclass,
                t.relowner::regrole,
                m.rolname
            ),
            format(
                'alter table %s owner to %I; look for an event trigger that changes owners',
                t.oid::regclass,
                m.rolname
            )
        from tables t, me m
        where not (
            has_table_privilege(t.oid, 'select')
            and has_table_privilege(t.oid, 'insert')
            and has_table_privilege(t.oid, 'update')
            and has_table_privilege(t.oid, 'delete')
        )
        union all
        select
            'owner',
            format(
                'function %s belongs to %s, others to %s',
                p.oid::regprocedure,
                p.proowner::regrole,
                m.rolname
            ),
            format(
                'alter function %s owner to %I; look for an event trigger that changes owners',
                p.oid::regprocedure,
                m.rolname
            )
        from pg_proc p, me m
        where p.pronamespace = 'tasker'::regnamespace
          and p.prosecdef
          and p.proowner <> m.oid
          and not pg_has_role(p.proowner, 'usage')
        union all
        select
            'trigger',
            format('trigger %I of table %s is disabled', g.tgname, g.tgrelid::regclass),
            format('alter table %s enable always trigger %I;', g.tgrelid::regclass, g.tgname)
        from pg_trigger g
        join tables t on t.oid = g.tgrelid
        where not g.tgisinternal
          and g.tgenabled = 'D'
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
            format('queue %s is missing', q.queue),
            'run tasker migrate or start an orchestrator, which make it again; '
            'the sweep sends again what was in it'
        from tasker.expected_queues() q
        where to_regclass(format('pgmq.%I', 'q_' || q.queue)) is null
          and (tasker.limits() is null or tasker.may_see_entry(q.queue, null))
        order by q.queue;
end
$$;
comment on function tasker.installation_problems() is
    'What keeps this installation from working, and what to do: '
    'after a restore, or where the database''s administrator has changed something. '
    'code: pgmq, row_security, owner, trigger, rows; '
    'queue, which an orchestrator mends at its start.';
