-- requires: internal/refuse_limited.sql, internal/limits.sql, internal/limit_logins.sql
-- A limited login reads no table, only functions and views, which run with the owner's rights: row-level security does not
-- apply to those, nor to the owner, and costs nobody else more than one call of a function a statement.
do $$
declare
    v_table regclass;
begin
    for v_table in
        select c.oid from pg_catalog.pg_class c
         where c.relnamespace = 'tasker'::regnamespace and c.relkind = 'r'
           -- What every process compares with itself.
           and c.relname not in ('schema_info', 'schema_migrations')
    loop
        execute format('alter table %s enable row level security', v_table);
        execute format('create policy unlimited on %s for select using ((select tasker.refuse_limited()))', v_table);
    end loop;
    perform tasker.limit_logins();
end
$$;
