-- Every claim whose result was accepted, with what the result meant for its step.
-- It is read from the hop by which a claim ended, in the audit. Nothing was accepted where the
-- next hop is another claim (the lease ran out), a release, or a cancellation.
create table faults.accepted as
select
    t.task_id,
    s.name as step,
    t.template_id,
    s.template_step,
    h.claim_no,
    case
        when h.to_state = 'pending' then 'checkpoint'
        when h.reason is null then 'success'
        when p.handler = 'fail' or h.attempt >= s.max_attempts then 'failure'
        else 'retry'
    end as fate
from (
    select
        x.*,
        count(*) filter (where x.to_state = 'in_progress') over (
            partition by x.task_id, x.name
            order by x.transition_id
        ) as claim_no
    from tasker.step_transitions x
) h
join tasker.steps s on s.task_id = h.task_id and s.name = h.name
join tasker.tasks t on t.task_id = h.task_id
join tasker.template_steps p on p.template_id = t.template_id and p.name = s.template_step
where h.from_state = 'in_progress'
  and (
    h.to_state = 'enqueued_for_orchestration' and h.reason is distinct from 'lease expired'
    or h.to_state = 'pending' and h.reason = 'checkpoint'
  );

-- One event of each name that the step declares for that fate.
-- A handler publishes part.done itself, two for each part.
create table faults.expected as
select
    a.task_id,
    a.step,
    a.claim_no,
    e.name,
    0 as part
from faults.accepted a
join tasker.template_events e
  on e.template_id = a.template_id
 and e.step = a.template_step
 and e.condition in (a.fate, 'always')
where e.delivery <> 'fast'
  and e.name <> 'part.done'
  and a.fate <> 'checkpoint'
union all
select
    a.task_id,
    a.step,
    a.claim_no,
    e.name,
    a.n * 2 + i
from (
    select
        a.*,
        row_number() over (partition by a.task_id, a.step order by a.claim_no)::int as n
    from faults.accepted a
    where a.fate in ('checkpoint', 'success')
) a
join tasker.template_events e
  on e.template_id = a.template_id
 and e.step = a.template_step
 and e.name = 'part.done'
cross join generate_series(-1, 0) i;

create table faults.seen as
select
    e.event_id,
    e.keyed,
    (e.event ->> 'task_id')::uuid as task_id,
    e.event ->> 'step' as step,
    (e.event ->> 'claim_no')::int as claim_no,
    e.event ->> 'name' as name,
    coalesce((e.event #>> '{payload,part}')::int, 0) as part,
    e.event -> 'payload' as payload
from (
    select (b.event ->> 'id')::uuid as event_id, false as keyed, b.event
    from faults.booked b
    union all
    select k.event_id, true, k.event
    from faults.keyed k
) e;
create index on faults.seen (event_id);
create index on faults.seen (task_id);
analyze faults.expected, faults.seen;
