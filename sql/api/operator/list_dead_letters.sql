-- for: operator, readonly
-- planner: jit = off
-- requires: views/dead_letter_overview.sql
create function tasker.list_dead_letters(
    p_reason     text default null,
    p_status     text default null,
    p_task_id    uuid default null,
    p_after      uuid default null,
    p_max        int default 100,
    p_id_prefix  text default null
)
returns setof tasker.dead_letter_overview
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_after  tasker.dead_letter_overview;
begin
    perform tasker.check_max(p_max);
    if p_after is not null then
        select v.*
        into v_after
        from tasker.dead_letter_overview v
        where v.entry_id = p_after;

        if not found then
            perform tasker.refuse_unknown_dead_letter(p_after);
        end if;
    end if;

    -- The page is chosen first, by the columns that its order needs;
    -- the other columns of a few entries cost little.
    return query
        select v.*
        from (
            select o.entry_id, row_number() over () as n
            from (
                select d.entry_id
                from tasker.dead_letter_overview d
                where (p_reason is null or d.reason = p_reason)
                  and (p_status is null or d.status = p_status)
                  and (p_task_id is null or d.task_id = p_task_id)
                  and (p_id_prefix is null
                      or d.entry_id between tasker.first_id(p_id_prefix, '0')
                          and tasker.first_id(p_id_prefix, 'f'))
                  and (p_after is null
                      or (
                          d.status <> 'pending',
                          d.priority,
                          d.created_at,
                          d.entry_id
                      ) > (
                          v_after.status <> 'pending',
                          v_after.priority,
                          v_after.created_at,
                          v_after.entry_id
                      ))
                order by d.status <> 'pending', d.priority, d.created_at, d.entry_id
                limit p_max
            ) o
        ) p
        cross join lateral (
            select *
            from tasker.dead_letter_overview d
            where d.entry_id = p.entry_id
            offset 0
        ) v
        order by p.n;
end
$$;
comment on function tasker.list_dead_letters(text, text, uuid, uuid, int, text) is
    'Dead letters in the order to look at them, at most p_max; '
    'the next page begins after the last one''s entry_id. '
    'p_id_prefix: those whose entry_id begins so. '
    'Errors: TK040 no entry p_after, TK008 p_max.';
