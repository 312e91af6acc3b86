select jsonb_build_object(
    'strikes', count(*),
    'damaging', count(*) filter (where s.damage <> 'None'),
    'total', coalesce(sum(s.cost_total), 0),
    'repair', coalesce(sum(s.cost_repair), 0),
    'other', coalesce(sum(s.cost_other), 0),
    'highest', coalesce(max(s.cost_total), 0)
)
from strikes.strikes s
where s.airport = $1
  and s.year = $2
