insert into strikes.reports
select *
from jsonb_populate_record(null::strikes.reports, $1)
on conflict (airport, year) do update
set (
    strikes,
    damaging,
    cost,
    worst_species,
    riskiest_phase
) = (
    excluded.strikes,
    excluded.damaging,
    excluded.cost,
    excluded.worst_species,
    excluded.riskiest_phase
)
