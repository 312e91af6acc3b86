create function tasker.check_presence(p_step jsonb, p_path text, p_constants jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_type  text := coalesce(p_step ->> 'type', 'standard');
begin
    if p_step ? 'when' then
        return query
        select *
        from tasker.check_condition(
            p_step -> 'when',
            p_path || '/when',
            tasker.parent_names(p_step),
            p_constants);
    end if;

    return query
    select p_path || '/' || p.key, 'invalid_value', p.message
    from (values
        (
            'when',
            v_type = 'batch_worker',
            'the steps of a batch_worker exist by the cursors: give the condition to the '
            'batchable, or let it return no cursors'
        ), (
            'otherwise',
            v_type = 'batch_worker',
            'the steps of a batch_worker exist by the cursors: give otherwise to the batchable'
        ), (
            'otherwise',
            p_step -> 'otherwise' <> 'true',
            'otherwise is true, or left out'
        ), (
            'otherwise',
            p_step ? 'when',
            'a step has either when or otherwise: otherwise means that no step with when and the '
            'same dependencies exists'
        ), (
            'when_false',
            p_step -> 'when_false' <> '"complete"',
            'when_false is complete: the step ends with null and what depends on it runs; left '
            'out, what depends on it does not exist either'
        ), (
            'when_false',
            not p_step ?| '{when,otherwise}' and p_step -> 'may_skip' is distinct from 'true',
            'when_false belongs to a step with when, otherwise, or may_skip: true'
        ), (
            'when_false',
            v_type in ('decision', 'batchable', 'batch_worker'),
            format(
                'a %s says itself what follows, and without it nothing does: leave when_false out',
                v_type)
        ), (
            'may_skip',
            jsonb_typeof(p_step -> 'may_skip') <> 'boolean',
            'may_skip is true or false'
        ), (
            'may_skip',
            p_step -> 'may_skip' = 'true'
                and v_type in ('decision', 'batchable', 'batch_worker'),
            format('a %s cannot skip: it has outcomes of its own, which may be empty', v_type)
        ), (
            'on_error',
            p_step -> 'on_error' <> '"continue"',
            'on_error is continue: what depends on the step runs, though it has failed; left out, '
            'a failure blocks or fails the task, by on_failure'
        ), (
            'on_error',
            v_type = 'batch_worker',
            'a batch goes on after failures by failure_strategy: continue_on_failure'
        ), (
            'on_error',
            v_type in ('decision', 'batchable'),
            format(
                'a %s that fails says nothing about what follows: let what is to run then depend '
                'on {step: NAME, on: failed}',
                v_type)
        )
    ) p(key, wrong, message)
    where p_step ? p.key
      and p.wrong;
end
$$;
comment on function tasker.check_presence(jsonb, text, jsonb) is
    'Problems of one step with when, otherwise, when_false, may_skip, and on_error.';
