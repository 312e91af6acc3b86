create function tasker.mapping_too_much(p_task_id uuid, p_mapping jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_limit  bigint := (select c.max_claim_bytes from tasker.settings c);
    -- Counted each time: the task knows its largest result only once its step is settled.
    v_bytes  bigint := tasker.named_bytes(
        p_task_id, (p_mapping ->> 'names')::text[], (p_mapping ->> 'batches')::text[]);
begin
    if v_bytes <= v_limit then
        return null;
    end if;
    return tasker.mapping_error('input_too_large', format(
        'the results that its paths name have %s bytes; they may have %s '
        '(max_claim_bytes in tasker.settings)',
        v_bytes, v_limit));
end
$$;
comment on function tasker.mapping_too_much(uuid, jsonb) is
    'An error where the results that a mapping looks into are more than a claim may have.';
