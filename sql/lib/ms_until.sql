create function tasker.ms_until(p_at timestamptz) returns bigint
language plpgsql volatile as $$
begin
    return case
        when p_at is not null
        then greatest(0, ceil(extract(epoch from p_at - tasker.clock()) * 1000))::bigint
    end;
end
$$;
comment on function tasker.ms_until(timestamptz) is
    'Milliseconds from now until p_at by the database''s clock, at least 0; null for null. '
    'A span, so that clocks of other machines do not matter.';
