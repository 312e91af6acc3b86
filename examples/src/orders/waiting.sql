-- Events of the run $1 that nobody has consumed.
select count(*) from pgmq.q_orders_domain_events m where m.message ->> 'correlation_id' = $1::text
