create function tasker.check_choices(p_steps jsonb)
returns table (path text, code text, message text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with steps as (
        select e.n, e.s ->> 'name' as name, coalesce(e.s ->> 'type', 'standard') as type
          from jsonb_array_elements(p_steps) with ordinality e(s, n) where jsonb_typeof(e.s) = 'object'
    ), edges as (
        select c.n, c.name, c.type, p.name as parent, p.type as parent_type
          from tasker.template_dependencies(p_steps) d
          join steps c on c.n = d.step_n
          left join steps p on p.name = d.dependency #>> '{}'
    )
    select format('/steps/%s/dependencies', s.n - 1), 'invalid_batch',
           format('the batch_worker "%s" must depend on exactly one step, the batchable that gives its cursors; it depends on %s', s.name,
                  coalesce((select string_agg(format('"%s" (%s)', e.parent, e.parent_type), ', ') from edges e where e.n = s.n), 'nothing'))
      from steps s
     -- A dependency on nothing has its own message.
     where s.type = 'batch_worker' and not exists (select from edges e where e.n = s.n and e.parent is null)
       and (select array_agg(e.parent_type) from edges e where e.n = s.n) is distinct from '{batchable}'
    union all
    select format('/steps/%s', s.n - 1), 'invalid_batch',
           format('the batchable "%s" must have a batch_worker that depends on it: its cursors are for that', s.name)
      from steps s
     where s.type = 'batchable' and not exists (select from edges e where e.parent = s.name and e.type = 'batch_worker')
    union all
    select format('/steps/%s', s.n - 1), 'invalid_decision', format('the decision "%s" has nothing to choose from: no step depends on it', s.name)
      from steps s
     where s.type = 'decision' and not exists (select from edges e where e.parent = s.name)
$$;
comment on function tasker.check_choices(jsonb) is 'Problems with the decisions and batches of a template: what they must have around them.';
