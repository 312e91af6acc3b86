create view tasker.task_staleness with (security_barrier) as
select
    s.task_id,
    s.namespace,
    s.name,
    s.state,
    round(s.minutes_in_state, 2) as minutes_in_state,
    s.threshold_minutes,
    round(s.minutes, 2) as minutes,
    s.max_duration_minutes,
    case
        when s.used >= 1 then 'stale'
        when s.used >= 0.8 then 'warning'
        else 'healthy'
    end as staleness
from (
    select
        m.*,
        greatest(
            m.minutes_in_state / m.threshold_minutes,
            m.minutes / m.max_duration_minutes
        ) as used
    from (
        select
            t.task_id,
            t.namespace,
            t.name,
            t.state,
            -- Every move of a task sets updated_at. Before its start time nothing is late.
            greatest(
                extract(epoch from n.at - greatest(t.updated_at, t.run_at)) / 60,
                0
            ) as minutes_in_state,
            case t.state
                when 'waiting_for_dependencies' then
                    coalesce(
                        v.max_waiting_for_dependencies_minutes,
                        c.max_waiting_for_dependencies_minutes
                    )
                when 'waiting_for_retry' then
                    coalesce(v.max_waiting_for_retry_minutes, c.max_waiting_for_retry_minutes)
                when 'steps_in_process' then
                    coalesce(v.max_steps_in_process_minutes, c.max_steps_in_process_minutes)
            end as threshold_minutes,
            greatest(
                extract(epoch from n.at - greatest(t.created_at, t.run_at)) / 60,
                0
            ) as minutes,
            coalesce(v.max_duration_minutes, c.max_duration_minutes) as max_duration_minutes
        from (select tasker.now() as at offset 0) n
        cross join tasker.settings c
        cross join tasker.tasks t
        join tasker.templates v on v.template_id = t.template_id
        where t.completed_at is null
          and ((select tasker.limits()) is null
              or t.namespace = any ((select tasker.limits())::text[]))
    ) m
) s;
comment on view tasker.task_staleness is
    'Every unfinished task: minutes since it last moved, against the threshold of its state, '
    'and since it began, against its max_duration. '
    'staleness: healthy, warning from 80 % of either, stale.';
