create function tasker.match_tasks(
    p_filter  jsonb,
    p_states  tasker.task_state[],
    p_max     int,
    p_lock    boolean,
    p_newest  boolean default false,
    p_before  uuid default null
)
returns uuid[]
language plpgsql volatile as $$
declare
    c_ended     constant tasker.task_state[] := '{complete,error,cancelled,resolved_manually}';
    v_task_ids  uuid[];
    v_states    tasker.task_state[];
begin
    -- An empty filter is allowed where the tasks are listed: looking at all of them is harmless.
    if not (p_newest and p_filter = '{}') then
        perform tasker.check_filter(p_filter);
    end if;
    if p_lock or p_newest then
        perform tasker.check_max(p_max);
    end if;
    if p_filter ? 'states' then
        -- An empty array matches nothing.
        v_states := array(select jsonb_array_elements_text(p_filter -> 'states'));
    end if;

    -- By execute, since the statement is planned with its values then: a filter by task_ids uses
    -- their key, and one without an unfinished state uses no index.
    execute 'with free as materialized (
        select t.task_id from tasker.tasks t
         where t.state = any ($1)'
          ' and ($2 is null or t.namespace = $2)'
          ' and ($3 is null or t.name = $3)
           and ($4 is null or t.template_id in ('
              'select v.template_id from tasker.templates v where v.version = $4))
           and ($13::text[] is null or t.namespace = any ($13))
           and ($5 is null or t.state = any ($5))'
          ' and ($6 is null or t.task_id = any ($6))'
          ' and ($7 is null or t.correlation_id = $7)
           and ($8 is null or t.created_at >= $8)'
          ' and ($9 is null or t.created_at < $9)
           and ($10 is null or t.error ->> ''code'' = $10
                or exists (select from tasker.steps s'
                         ' where s.task_id = t.task_id'
                         ' and s.state = ''error'''
                         ' and s.error ->> ''code'' = $10))'
        || case
            when p_states && c_ended and coalesce(v_states && c_ended, true) then ''
            else ' and t.completed_at is null'
        end
        || case when p_filter ? 'idempotency_key' then ' and t.idempotency_key = $14' else '' end
        || case when p_filter ? 'id_prefix' then ' and t.task_id between $15 and $16' else '' end
        || case when p_before is null then '' else ' and t.task_id < $12' end
        || ' order by t.task_id'
        || case when p_newest then ' desc' else '' end
        || ' limit $11'
        || case when p_lock then ' for no key update skip locked' else '' end
        || ')
        select array_agg(f.task_id) from free f'
    into v_task_ids
    using
        p_states,
        p_filter ->> 'namespace',
        p_filter ->> 'name',
        p_filter ->> 'version',
        v_states,
        case
            when p_filter ? 'task_ids'
            then array(select jsonb_array_elements_text(p_filter -> 'task_ids')::uuid)
        end,
        (p_filter ->> 'correlation_id')::uuid,
        (p_filter ->> 'created_after')::timestamptz,
        (p_filter ->> 'created_before')::timestamptz,
        p_filter ->> 'error_code',
        p_max,
        p_before,
        tasker.limits(),
        p_filter ->> 'idempotency_key',
        tasker.first_id(p_filter ->> 'id_prefix', '0'),
        tasker.first_id(p_filter ->> 'id_prefix', 'f');
    return coalesce(v_task_ids, '{}');
end
$$;
comment on function tasker.match_tasks(
    jsonb, tasker.task_state[], int, boolean, boolean, uuid
) is
    'The tasks in one of p_states that match a filter, oldest first, at most p_max (null: all); '
    'p_lock: locks them and skips those locked by others; p_newest: the newest first, those before '
    'p_before, and {} matches all. Error: TK030.';
