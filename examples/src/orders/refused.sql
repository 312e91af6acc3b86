-- The dead letters of the events of the run $1.
select
    (d.message -> 'metadata' ->> 'order_id')::bigint as order_id,
    d.message ->> 'name' as name,
    d.detail
from tasker.dead_letters d
where d.queue = 'orders_domain_events'
  and d.message ->> 'correlation_id' = $1::text
order by 1
