select coalesce(
    jsonb_agg(to_jsonb(r) order by r.damaging desc, r.strikes desc, r.phase collate "C"),
    '[]'
)
from (
    select
        s.phase,
        count(*) as strikes,
        count(*) filter (where s.damage <> 'None') as damaging,
        sum(s.cost_total) as cost
    from strikes.strikes s
    where s.airport = $1
      and s.year = $2
    group by s.phase
) r
