create function tasker.close_dead_letters(p_max int, p_now timestamptz)
returns int
language plpgsql volatile as $$
declare
    v_closed  int;
begin
    -- Tasks are read and never locked; entries that somebody holds are left for the next round.
    with ended as materialized (
        select d.entry_id, t.state
        from tasker.dead_letters d
        cross join lateral (
            select t.state from tasker.tasks t where t.task_id = d.task_id offset 0
        ) t
        where d.status = 'pending'
          and d.reason <> 'bad_message'
          and t.state in ('complete', 'resolved_manually', 'cancelled')
        order by d.task_id
        limit p_max
        for no key update of d skip locked
    )
    update tasker.dead_letters d
    set status = case when e.state = 'cancelled' then 'cancelled' else 'ended_well' end,
        resolved_at = p_now,
        notes = tasker.add_note(d.notes, 'closed: the task is ' || e.state, 'the sweep')
    from ended e
    where d.entry_id = e.entry_id;

    get diagnostics v_closed = row_count;
    return v_closed;
end
$$;
comment on function tasker.close_dead_letters(int, timestamptz) is
    'Closes up to p_max pending dead letters whose task has ended well, or was cancelled.';
