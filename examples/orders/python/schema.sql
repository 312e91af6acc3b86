-- The tables of the orders example.
-- Runs as one transaction; the lock lets several programs start at once.
select pg_advisory_xact_lock(7310030073);

create schema if not exists shop;
comment on schema shop is
    'The orders example of Tasker: tables of the application, not of the engine.';

-- The key of both tables is the event's id: an event that is read twice is kept once.
create table if not exists shop.payments (
    event_id        uuid primary key,
    correlation_id  uuid not null,
    order_id        bigint not null,
    amount          bigint not null check (amount > 0),
    currency        text not null
);
comment on table shop.payments is
    'What was paid, in cents: one row for each event payment.processed.';

create table if not exists shop.mails (
    event_id        uuid primary key,
    correlation_id  uuid not null,
    order_id        bigint not null,
    subject         text not null
);
comment on table shop.mails is
    'Mails to customers: one row for each event order.shipped or payment.failed.';
