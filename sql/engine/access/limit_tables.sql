-- requires: api/views/refuse_limited.sql, api/views/limits.sql, engine/access/limit_logins.sql
-- A limited login reads no table, only functions and views. These run with the owner's rights, and
-- row-level security applies neither to them nor to the owner. To everybody else it costs no more
-- than one call of a function a statement.
do $$
declare
    v_table  regclass;
begin
    for v_table in
        select c.oid
        from pg_catalog.pg_class c
        where c.relnamespace = 'tasker'::regnamespace
          and c.relkind = 'r'
          -- Every process compares these two with itself.
          and c.relname not in ('schema_info', 'schema_migrations')
    loop
        execute format('alter table %s enable row level security', v_table);
        execute format(
            'create policy unlimited on %s for select using ((select tasker.refuse_limited()))',
            v_table
        );
    end loop;
    perform tasker.limit_logins();
end
$$;
