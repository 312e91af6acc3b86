-- The tables of the transfer example.
-- Runs as one transaction; the lock lets several programs start at once.
select pg_advisory_xact_lock(7310030072);

create schema if not exists bank;
comment on schema bank is
    'The transfer example of Tasker: tables of the application, not of the engine.';

create table if not exists bank.accounts (
    account_id  bigint primary key,
    balance     bigint not null check (balance >= 0)
);
comment on table bank.accounts is 'Accounts with what is in them, in cents.';

create table if not exists bank.entries (
    account_id  bigint not null references bank.accounts,
    amount      bigint not null,
    task_id     uuid not null,
    booked_at   timestamptz not null default now()
);
-- Not unique, on purpose: that nothing is booked twice is the work of the claim number alone.
create index if not exists entries_by_task on bank.entries (task_id);
comment on table bank.entries is
    'What was booked, and by which task. '
    'Nothing reads it in order to find out whether to book.';
