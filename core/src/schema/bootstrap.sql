-- Checks the server and pgmq, and makes the schema and the installer's own tables,
-- which must be there before anything else.
do $tasker$
begin
    if current_setting('server_version_num')::int < 150000 then
        raise exception 'Tasker needs PostgreSQL 15 or newer; this server is %',
            current_setting('server_version');
    end if;
    if to_regnamespace('pgmq') is null then
        raise exception 'pgmq is not installed in database %', current_database()
            using hint = 'Run tasker migrate, which installs it, or do so yourself: '
                'create extension pgmq (1.8 or newer), or pgmq''s SQL-only install.';
    end if;

    if to_regclass('tasker.schema_info') is not null then
        -- In a database restored without its rows (pg_dump --schema-only), the comment of the table
        -- says which migrations were applied.
        if not exists (select from tasker.schema_migrations) then
            insert into tasker.schema_migrations (version, name, checksum)
            select left(m[1], 4)::int, m[1], m[2]
            from regexp_matches(
                obj_description('tasker.schema_migrations'::regclass, 'pg_class'),
                '([0-9]{4}_[A-Za-z0-9_]+) ([0-9a-f]{16})',
                'g'
            ) m;
        end if;
        return;
    end if;

    -- A schema of that name which has objects, but not the installer's tables, is somebody else's.
    if exists (select from pg_catalog.pg_class where relnamespace = to_regnamespace('tasker'))
      or exists (select from pg_catalog.pg_proc where pronamespace = to_regnamespace('tasker')) then
        raise exception 'schema tasker exists in database % and was not made by Tasker',
            current_database()
            using hint = 'Rename or drop that schema, or use another database.';
    end if;
    if to_regnamespace('tasker') is null then
        create schema tasker;
    end if;

    create table tasker.schema_migrations (
        version     int primary key,
        name        text not null,
        checksum    text not null,
        applied_at  timestamptz not null default now()
    );
    comment on table tasker.schema_migrations is
        'The migrations applied here. Written by the installer only.';

    create table tasker.schema_info (
        singleton       boolean primary key default true check (singleton),
        migration       int not null,
        sql_hash        text not null,
        tasker_version  text not null,
        installed_at    timestamptz not null default now()
    );
    comment on table tasker.schema_info is
        'One row: what is installed. Every process compares it with what it was built for.';
end
$tasker$;
