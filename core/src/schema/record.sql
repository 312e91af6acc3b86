-- A dump without rows (pg_dump --schema-only) keeps comments:
-- bootstrap.sql makes the rows again from this one.
do $tasker$
begin
    execute format(
        'comment on table tasker.schema_migrations is %L',
        'The migrations applied here. Written by the installer only. Applied: '
        || coalesce(
            (
                select string_agg(m.name || ' ' || m.checksum, ', ' order by m.version)
                from tasker.schema_migrations m
            ),
            'none'
        )
    );
end
$tasker$;
