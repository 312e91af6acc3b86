create function tasker.pgmq_problems()
returns table (
    code     text,
    problem  text,
    remedy   text
)
language plpgsql stable rows 1 as $$
begin
    if to_regprocedure('pgmq.send_batch(text,jsonb[],jsonb[],timestamptz)') is null then
        return query
            select
                'pgmq',
                'pgmq is not installed in this database, or is older than 1.8',
                'run tasker migrate, which installs it, or: alter extension pgmq update';
    elsif to_regclass('pgmq.meta') is null then
        return query
            select
                'pgmq',
                'schema pgmq lacks the table meta, which lists the queues',
                'restore schema pgmq too, or drop it and run tasker migrate, which installs it';
    end if;
end
$$;
comment on function tasker.pgmq_problems() is
    'The problems of a missing or incomplete pgmq, without which nothing works.';
