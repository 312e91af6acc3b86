-- Books amount $2 on account $1 for task $3.
-- Returns no row where there is no such account, or not that much in it.
with booked as (
    update bank.accounts a
    set balance = a.balance + $2
    where a.account_id = $1
      and a.balance + $2 >= 0
    returning a.account_id, a.balance
), entry as (
    insert into bank.entries (account_id, amount, task_id)
    select b.account_id, $2, $3
    from booked b
)
select b.balance
from booked b
