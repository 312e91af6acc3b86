-- Drops the objects that the installer makes again: Tasker's triggers and policies on its tables,
-- then all views, functions, and row types of the schema. Nothing is dropped by cascade, because
-- that would take a user's own view along. The order of dependencies is found by trying: each round
-- drops the objects on which nothing depends any more.
do $tasker$
declare
    v_schema  oid := to_regnamespace('tasker');
    v_drop    text;
    v_left    int;
    v_done    int;
    v_users   text;
begin
    loop
        v_left := 0;
        v_done := 0;
        for v_drop in
            select d.command
            from (
                select
                    1 as phase,
                    format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass) as command
                from pg_catalog.pg_trigger t
                join pg_catalog.pg_class c on c.oid = t.tgrelid
                join pg_catalog.pg_proc p on p.oid = t.tgfoid
                where not t.tgisinternal
                  and t.tgparentid = 0
                  and c.relnamespace = v_schema
                  and p.pronamespace = v_schema
                union all
                select 1, format('drop policy %I on %s', y.polname, y.polrelid::regclass)
                from pg_catalog.pg_policy y
                join pg_catalog.pg_class c on c.oid = y.polrelid
                where c.relnamespace = v_schema
                  and y.polname = 'unlimited'
                union all
                select
                    2,
                    format(
                        'drop %s %s',
                        case c.relkind when 'v' then 'view' else 'materialized view' end,
                        c.oid::regclass
                    )
                from pg_catalog.pg_class c
                where c.relnamespace = v_schema
                  and c.relkind in ('v', 'm')
                union all
                select 3, format('drop routine %s', p.oid::regprocedure)
                from pg_catalog.pg_proc p
                where p.pronamespace = v_schema
                union all
                select 4, format('drop type %s', c.reltype::regtype)
                from pg_catalog.pg_class c
                where c.relnamespace = v_schema
                  and c.relkind = 'c'
            ) d
            order by d.phase, d.command
        loop
            begin
                execute v_drop;
                v_done := v_done + 1;
            exception
                when dependent_objects_still_exist then
                    v_left := v_left + 1;
            end;
        end loop;
        exit when v_left = 0;
        continue when v_done > 0;

        -- Only objects of others are in the way now, and the error names them.
        -- The dependencies of a view are those of its rule.
        with ours as (
            select 'pg_catalog.pg_class'::regclass::oid as classid, c.oid as objid
            from pg_catalog.pg_class c
            where c.relnamespace = v_schema
              and c.relkind in ('v', 'm', 'c')
            union all
            select 'pg_catalog.pg_type'::regclass, t.oid
            from pg_catalog.pg_class c
            join pg_catalog.pg_type r on r.oid = c.reltype
            join pg_catalog.pg_type t on t.oid in (r.oid, r.typarray)
            where c.relnamespace = v_schema
              and c.relkind in ('v', 'm', 'c')
            union all
            select 'pg_catalog.pg_proc'::regclass, p.oid
            from pg_catalog.pg_proc p
            where p.pronamespace = v_schema
        ), users as (
            select
                d.classid,
                d.objid,
                d.objsubid,
                r.ev_class as relation
            from pg_catalog.pg_depend d
            join ours o on o.classid = d.refclassid and o.objid = d.refobjid
            left join pg_catalog.pg_rewrite r
                on d.classid = 'pg_catalog.pg_rewrite'::regclass
                and r.oid = d.objid
            where d.deptype in ('n', 'a')
        )
        select string_agg(
            distinct case
                when u.relation is null then pg_describe_object(u.classid, u.objid, u.objsubid)
                else pg_describe_object('pg_catalog.pg_class'::regclass, u.relation, 0)
            end,
            ', '
        )
        into v_users
        from users u
        where not exists (select from ours o where o.classid = u.classid and o.objid = u.objid)
          and not exists (select from ours o where o.objid = u.relation);

        raise exception
            'cannot replace the views and functions of schema tasker, '
            'because these depend on them: %',
            coalesce(v_users, '(not found)')
            using
                errcode = 'dependent_objects_still_exist',
                hint = 'Nothing was changed. '
                    'Drop them, run tasker migrate again, and create them again.';
    end loop;
end
$tasker$;
