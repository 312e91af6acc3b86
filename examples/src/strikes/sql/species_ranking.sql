-- Byte order decides between equals, whatever the database's collation.
select coalesce(
    jsonb_agg(to_jsonb(r) order by r.cost desc, r.strikes desc, r.species collate "C"),
    '[]'
)
from (
    select
        s.species,
        count(*) as strikes,
        sum(s.cost_total) as cost
    from strikes.strikes s
    where s.airport = $1
      and s.year = $2
    group by s.species
    order by cost desc, strikes desc, s.species collate "C"
    limit $3
) r
