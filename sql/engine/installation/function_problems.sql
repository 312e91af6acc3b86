create function tasker.function_problems()
returns table (
    code     text,
    problem  text,
    remedy   text
)
language sql stable rows 10 as $$
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
    from pg_proc p
    join pg_roles m on m.rolname = current_user
    where p.pronamespace = 'tasker'::regnamespace
      and p.prosecdef
      and p.proowner <> m.oid
      and not pg_has_role(p.proowner, 'usage')
$$;
comment on function tasker.function_problems() is
    'The functions owned by a role whose rights the caller, the owner of the other functions, does '
    'not have.';
