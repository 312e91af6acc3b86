-- Books the event $1, a payment.processed of the run $2 with the payload $3.
-- Does nothing where it is booked already.
insert into shop.payments (event_id, correlation_id, order_id, amount, currency)
values (
    $1,
    $2,
    ($3 ->> 'order_id')::bigint,
    ($3 ->> 'amount')::bigint,
    $3 ->> 'currency'
)
on conflict (event_id) do nothing
