-- for: operator, readonly
create function tasker.cursor_items(p_cursor jsonb) returns bigint
-- Parsed now, not with the search_path of the caller, and still taken into the caller's statement.
language sql immutable parallel safe
return case
    when jsonb_typeof(p_cursor -> 'start') = 'number'
     and jsonb_typeof(p_cursor -> 'end') = 'number' then
        case
            when (p_cursor -> 'start')::numeric between -1e15 and 1e15
             and (p_cursor -> 'end')::numeric between (p_cursor -> 'start')::numeric and 1e15
            then ((p_cursor -> 'end')::numeric - (p_cursor -> 'start')::numeric)::bigint
            else 1
        end
    else 1
end;
comment on function tasker.cursor_items(jsonb) is
    'How many items a cursor stands for: end - start if both are numbers (end is exclusive), else '
    'one.';
