-- A mail about the order $3 for the event $1 of the run $2; does nothing where there is one.
insert into shop.mails (event_id, correlation_id, order_id, subject) values ($1, $2, $3, $4)
on conflict (event_id) do nothing
