create function tasker.check_max(p_max int) returns void
language plpgsql immutable parallel safe as $$
begin
    if p_max is null or p_max < 1 or p_max > 100000 then
        raise exception 'p_max must be from 1 to 100000; it is %', coalesce(p_max::text, 'null')
            using errcode = 'TK008',
                  hint = 'It bounds one call and its one commit: a few hundred serve best.';
    end if;
end
$$;
comment on function tasker.check_max(int) is
    'Refuses a batch size outside 1 to 100000. Error: TK008.';
