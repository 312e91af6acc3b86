create function tasker.stored_statuses(p_stored int[], p_errors jsonb[])
returns text[]
language plpgsql immutable as $$
declare
    v_statuses  text[] := array_fill(null::text, array[cardinality(p_errors)]);
    v_n         int;
begin
    foreach v_n in array coalesce(p_stored, '{}') loop
        v_statuses[v_n] := case
            when p_errors[v_n] ->> 'code' in ('invalid_outcome', 'result_too_large')
                then 'rejected'
            else 'accepted'
        end;
    end loop;
    return v_statuses;
end
$$;
comment on function tasker.stored_statuses(int[], jsonb[]) is
    'The statuses of results by the errors of their outcomes: accepted or rejected; null for '
    'results that were not stored.';
