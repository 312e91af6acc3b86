-- The functions were made unchecked, because they may call each other in any order. Now that all
-- are there, each is checked by its language, so that a mistake shows here and not at its first
-- call.
set local check_function_bodies = on;
do $tasker$
declare
    v_function   regprocedure;
    v_validator  regproc;
begin
    for v_function, v_validator in
        select p.oid, l.lanvalidator
        from pg_catalog.pg_proc p
        join pg_catalog.pg_language l on l.oid = p.prolang
        where p.pronamespace = to_regnamespace('tasker')
          and l.lanvalidator <> 0
          and p.prokind in ('f', 'p')
        order by p.oid::regprocedure::text
    loop
        begin
            execute format('select %s(%s)', v_validator, v_function::oid);
        exception
            when others then
                raise exception 'function %: %', v_function, sqlerrm using errcode = sqlstate;
        end;
    end loop;
end
$tasker$;
