create function tasker.refuse_unfit_outcome(
    p_task_id  uuid,
    p_step     text,
    p_decides  boolean,
    p_outcome  jsonb
)
returns void
language plpgsql stable as $$
declare
    v_problem  text;
begin
    -- A step that decides which steps come into being needs an outcome, and no other step has one.
    if not p_decides and p_outcome is null then
        return;
    end if;

    v_problem := case
        when p_outcome is null then
            'its outcome decides which steps are created, so give it one'
        when p_decides and p_outcome ->> 'type' not in ('decision', 'batches')
          or not p_decides and p_outcome ->> 'type' <> 'skip' then
            'only a decision or batches can be given, to steps of these types, or a skip'
        else
            coalesce(
                tasker.outcome_problem(p_outcome),
                tasker.choice_problem(p_task_id, p_step, p_outcome)
            )
    end;
    if v_problem is not null then
        raise exception 'step "%" of task % cannot be resolved like this: %',
            p_step, p_task_id, v_problem
            using
                errcode = 'TK035',
                hint = 'p_outcome (--outcome) for a decision: '
                    '{"type":"decision","create_steps":[...]}; '
                    'for a batchable: {"type":"batches","cursors":[...]}; '
                    'for a step with may_skip: {"type":"skip"}; '
                    'for others: none.';
    end if;
end
$$;
comment on function tasker.refuse_unfit_outcome(uuid, text, boolean, jsonb) is
    'Refuses an operator''s outcome that does not fit its step. '
    'Error: TK035.';
