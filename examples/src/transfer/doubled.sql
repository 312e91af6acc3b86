-- Bookings beyond the first of their task and account.
-- The sign keeps the two of a task that moves money from an account to itself apart.
select coalesce(sum(b.n - 1), 0)::bigint
from (
    select count(*) as n
    from bank.entries e
    group by e.task_id, e.account_id, sign(e.amount)
) b
