-- What the consumer in Rust does, from psql: up to 100 events, their effects, and their deletion in
-- one transaction. Call it until it returns no row.
with event as (
    select
        e.*,
        (e.message ->> 'id')::uuid as event_id,
        (e.message ->> 'correlation_id')::uuid as correlation_id,
        e.message ->> 'name' as name,
        e.message -> 'payload' as payload,
        e.message -> 'metadata' as metadata
    from pgmq.read('orders_domain_events', 30, 100) e
), paid as (
    insert into shop.payments (event_id, correlation_id, order_id, amount, currency)
    select
        e.event_id,
        e.correlation_id,
        (e.payload ->> 'order_id')::bigint,
        (e.payload ->> 'amount')::bigint,
        e.payload ->> 'currency'
    from event e
    where e.name = 'payment.processed'
    on conflict (event_id) do nothing
), shipped as (
    insert into shop.mails (event_id, correlation_id, order_id, subject)
    select
        e.event_id,
        e.correlation_id,
        (e.payload ->> 'order_id')::bigint,
        format('On its way, parcels: %s', e.payload ->> 'parcels')
    from event e
    where e.name = 'order.shipped'
    on conflict (event_id) do nothing
), failed as (
    insert into shop.mails (event_id, correlation_id, order_id, subject)
    select
        e.event_id,
        e.correlation_id,
        (e.metadata ->> 'order_id')::bigint,
        format('Not paid: %s', e.payload ->> 'message')
    from event e
    where e.name = 'payment.failed'
    on conflict (event_id) do nothing
)
select pgmq.delete('orders_domain_events', e.msg_id) from event e
