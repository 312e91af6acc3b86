create function tasker.check_dead_letter_status(p_status text) returns void
language plpgsql immutable as $$
begin
    if p_status not in ('pending', 'manually_resolved', 'permanent_failure', 'cancelled') then
        raise exception 'a dead letter cannot become "%"', left(p_status, 100)
            using
                errcode = 'TK041',
                hint = 'The statuses are pending, manually_resolved, permanent_failure, cancelled.';
    end if;
end
$$;
comment on function tasker.check_dead_letter_status(text) is
    'Refuses an unknown status of a dead letter; null is allowed. '
    'Error: TK041.';
