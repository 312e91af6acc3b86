create function tasker.table_problems()
returns table (
    code     text,
    problem  text,
    remedy   text
)
language sql stable rows 10 as $$
    with tables as materialized (
        select * from tasker.needed_tables()
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
            'row security hides rows of %s from %s, the role that Tasker''s functions run as',
            t.relid::regclass,
            m.rolname
        ),
        format(
            'alter table %s no force row level security, disable row level security;',
            t.relid::regclass
        )
    from tables t, me m
    where t.relrowsecurity
      and not m.passes
      and (t.relforcerowsecurity or not pg_has_role(t.relowner, 'usage'))
    union all
    select
        'owner',
        format(
            'table %s belongs to %s, and %s, the role that Tasker''s functions run as, may not use '
            'it',
            t.relid::regclass,
            t.relowner::regrole,
            m.rolname
        ),
        format(
            'alter table %s owner to %I; look for an event trigger that changes owners',
            t.relid::regclass,
            m.rolname
        )
    from tables t, me m
    where not (
        has_table_privilege(t.relid, 'select')
        and has_table_privilege(t.relid, 'insert')
        and has_table_privilege(t.relid, 'update')
        and has_table_privilege(t.relid, 'delete')
    )
    union all
    select
        'trigger',
        format('trigger %I of table %s is disabled', g.tgname, g.tgrelid::regclass),
        format('alter table %s enable always trigger %I;', g.tgrelid::regclass, g.tgname)
    from pg_trigger g
    join tables t on t.relid = g.tgrelid
    where not g.tgisinternal
      and g.tgenabled = 'D'
$$;
comment on function tasker.table_problems() is
    'The tables, and their triggers, that the caller, the owner of the functions, cannot use: row '
    'security, another owner, disabled.';
