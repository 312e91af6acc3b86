-- Accounts 1 to $1 with a balance of $2 each; those that are there stay as they are.
insert into bank.accounts (account_id, balance)
select n, $2 from generate_series(1, $1::bigint) n
on conflict do nothing
