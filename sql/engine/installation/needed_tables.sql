create function tasker.needed_tables()
returns table (
    relid                oid,
    relowner             oid,
    relrowsecurity       boolean,
    relforcerowsecurity  boolean
)
language sql stable rows 100 as $$
    select
        c.oid,
        c.relowner,
        c.relrowsecurity,
        c.relforcerowsecurity
    from pg_class c
    where c.relnamespace = 'tasker'::regnamespace
      and c.relkind in ('r', 'p')
    union all
    select
        c.oid,
        c.relowner,
        c.relrowsecurity,
        c.relforcerowsecurity
    from tasker.expected_queues() q
    join pg_class c
      on c.relnamespace = 'pgmq'::regnamespace
     and c.relname = 'q_' || q.queue
    where tasker.limits() is null
       or tasker.may_see_entry(q.queue, null)
$$;
comment on function tasker.needed_tables() is
    'The rows in pg_class of Tasker''s tables, and of the queues that the caller may see.';
