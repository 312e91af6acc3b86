create function tasker.batch_summary(p_task_id uuid, p_step text)
returns jsonb
language plpgsql stable as $$
declare
    v_counts  record;
    v_limits  tasker.settings;
begin
    select
        count(*) as instances,
        count(*) filter (where s.satisfied and s.state <> 'error') as complete,
        count(*) filter (where s.state = 'error') as failed,
        sum(s.result_bytes) as bytes
    into v_counts
    from tasker.steps s
    where s.task_id = p_task_id
      and s.template_step = p_step;
    select * into v_limits from tasker.settings;

    return jsonb_build_object(
        'instances', v_counts.instances,
        'complete', v_counts.complete,
        'failed', v_counts.failed,
        'results', case
            when v_counts.instances <= v_limits.max_inline_results
             and coalesce(v_counts.bytes, 0) <= v_limits.max_result_bytes
                then (
                    select coalesce(
                        jsonb_agg(s.result order by s.instance)
                            filter (where s.satisfied and s.state <> 'error'),
                        '[]')
                    from tasker.steps s
                    where s.task_id = p_task_id
                      and s.template_step = p_step
                )
        end);
end
$$;
comment on function tasker.batch_summary(uuid, text) is
    'The summary of a batch for the step after it: {"instances","complete","failed","results"}. '
    'results: null if there are more than max_inline_results, or more than max_result_bytes of '
    'them as text: read them with batch_results.';
