create function tasker.check_choices(p_steps jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
begin
    return query
    with steps as (
        select
            e.n,
            e.s ->> 'name' as name,
            coalesce(e.s ->> 'type', 'standard') as type
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
        where jsonb_typeof(e.s) = 'object'
    ), edges as (
        select
            c.n,
            c.type,
            p.name as parent,
            p.type as parent_type
        from tasker.template_dependencies(p_steps) d
        join steps c on c.n = d.step_n
        left join steps p on p.name = d.dependency #>> '{}'
    ), parents as (
        select
            e.n,
            array_agg(e.parent_type) as types,
            bool_or(e.parent is null) as unknown,
            string_agg(format('"%s" (%s)', e.parent, e.parent_type), ', ') as list
        from edges e
        where e.type = 'batch_worker'
        group by e.n
    )
    select
        format('/steps/%s/dependencies', s.n - 1),
        'invalid_batch',
        format(
            'the batch_worker "%s" must depend on exactly one step, '
            'the batchable that gives its cursors; it depends on %s',
            left(s.name, 100), coalesce(left(p.list, 1000), 'nothing'))
    from steps s
    left join parents p on p.n = s.n
    -- A dependency on a step that does not exist has a message of its own.
    where s.type = 'batch_worker'
      and p.unknown is not true
      and p.types is distinct from '{batchable}'
    union all
    select
        format('/steps/%s', s.n - 1),
        'invalid_batch',
        format(
            'the batchable "%s" must have a batch_worker that depends on it: '
            'its cursors are for that',
            left(s.name, 100))
    from steps s
    where s.type = 'batchable'
      and not exists (
          select
          from edges e
          where e.parent = s.name
            and e.type = 'batch_worker'
      )
    union all
    select
        format('/steps/%s', s.n - 1),
        'invalid_decision',
        format(
            'the decision "%s" has nothing to choose from: no step depends on it',
            left(s.name, 100))
    from steps s
    where s.type = 'decision'
      and not exists (select from edges e where e.parent = s.name);
end
$$;
comment on function tasker.check_choices(jsonb) is
    'Problems with the steps around the decisions and batches of a template.';
