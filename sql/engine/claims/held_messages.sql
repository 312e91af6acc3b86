create function tasker.held_messages(
    p_msg_ids   bigint[],
    p_messages  jsonb[],
    p_found     tasker.found_claim[]
)
returns bigint[]
language plpgsql stable as $$
begin
    return array(
        select m.msg_id
        from unnest(p_msg_ids, p_messages) m(msg_id, message)
        where m.msg_id not in (select f.msg_id from unnest(p_found) f)
          and exists (
                select
                from tasker.steps s
                where s.task_id = tasker.to_uuid(m.message ->> 'task_id')
                  and s.name = m.message ->> 'step'
          )
        order by m.msg_id
    );
end
$$;
comment on function tasker.held_messages(bigint[], jsonb[], tasker.found_claim[]) is
    'The messages of a claim whose steps are locked by others.';
