-- One call for each pair of airport and year, all in one transaction.
-- The correlation id marks the run.
select tasker.enqueue_task('strikes', 'airport_year',
    jsonb_build_object('airport', k.airport, 'year', k.year),
    p_correlation_id => $3
)
from unnest($1::text[], $2::int[]) k(airport, year)
