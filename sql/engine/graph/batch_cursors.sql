create function tasker.batch_cursors(
    p_task_id      uuid,
    p_template_id  uuid,
    p_step         text
)
returns table (batchable text, cursors jsonb)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    select
        b.name,
        case
            -- The cursors are for one batch_worker; another of the same batchable has no instances.
            when coalesce(b.decided ->> 'worker_step', p_step) = p_step then b.decided -> 'cursors'
            else '[]'
        end
    from tasker.template_edges e
    cross join lateral (
        select *
        from tasker.steps s
        where s.task_id = p_task_id
          and s.name = e.parent
        offset 0
    ) b
    where e.template_id = p_template_id
      and e.child = p_step
$$;
comment on function tasker.batch_cursors(uuid, uuid, text) is
    'The cursors that a batchable gave for a batch_worker, until its instances are there.';
