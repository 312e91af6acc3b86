-- for: operator, readonly
-- planner: jit = off
create function tasker.count_dead_letters(p_filter jsonb)
returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.check_dead_letter_filter(p_filter);
    return cardinality(tasker.match_dead_letters(p_filter, null, null));
end
$$;
comment on function tasker.count_dead_letters(jsonb) is
    'How many dead letters match a filter of retry_dead_letters. Error: TK030.';
