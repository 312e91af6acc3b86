//! The table at the end of a run.

use crate::{bystander::Answers, chaos::Deaths, children::Ends, events, growing};
use sqlx::PgPool;
use std::time::Duration;

/// Milliseconds from a worker's death to the next claim of each step it held.
const RECLAIMED: &str = "
select (extract(epoch from n.at - k.at) * 1000)::float8
from unnest($1::uuid[], $2::timestamptz[]) k(worker_id, at)
cross join lateral (
    select distinct on (x.task_id, x.name) x.*
    from tasker.step_transitions x
    where x.actor_id = k.worker_id
      and x.to_state = 'in_progress'
      and x.at <= k.at
    order by x.task_id, x.name, x.transition_id desc
) c
-- Only what was not done when it died: the next hop is another's claim.
cross join lateral (
    select x.*
    from tasker.step_transitions x
    where x.task_id = c.task_id
      and x.name = c.name
      and x.transition_id > c.transition_id
    order by x.transition_id
    limit 1
) n
where n.to_state = 'in_progress'
  and n.actor_id <> k.worker_id
  and n.at >= k.at";

/// What `RECLAIMED` measures, in order.
async fn reclaimed(pool: &PgPool, deaths: &Deaths) -> Vec<f64> {
    let (ids, times): (Vec<_>, Vec<_>) = deaths.workers.iter().copied().unzip();
    sqlx::raw_sql(
        "create index if not exists step_transitions_by_actor \
         on tasker.step_transitions (actor_id) where to_state = 'in_progress'",
    )
    .execute(pool)
    .await
    .unwrap();
    let mut reclaimed: Vec<f64> =
        sqlx::query_scalar(RECLAIMED).bind(&ids).bind(&times).fetch_all(pool).await.unwrap();
    reclaimed.sort_by(f64::total_cmp);
    reclaimed
}

fn percentile(ordered: &[f64], p: usize) -> String {
    match ordered.len() {
        0 => "-".to_owned(),
        n => format!("{:.1} s", ordered[(n * p / 100).min(n - 1)] / 1000.0),
    }
}

/// The rows that say what was done to the system.
fn inflicted(deaths: &Deaths, ends: &Ends) -> [(&'static str, String); 5] {
    let Deaths { worker_kills, orchestrator_kills, consumer_kills, backends, restarts, .. } =
        deaths;
    let Deaths { stops, silences: (silent, half_open), cuts, .. } = deaths;
    [
        (
            "kills -9",
            format!(
                "{} ({worker_kills} workers, {orchestrator_kills} orchestrators, {consumer_kills} \
                 consumers)",
                worker_kills + orchestrator_kills + consumer_kills
            ),
        ),
        ("server restarts, immediate", restarts.to_string()),
        ("backends terminated", backends.to_string()),
        (
            "network",
            format!(
                "{silent} silences, {half_open} times half-open, {cuts} cuts: each of all \
                 connections"
            ),
        ),
        (
            "stops of workers",
            format!(
                "{stops} ({} left nothing, {} left claims to their leases)",
                ends.clean, ends.left
            ),
        ),
    ]
}

/// As lines of text. `lost`: transactions of consumers.
pub async fn gather(
    pool: &PgPool,
    deaths: &Deaths,
    answers: &Answers,
    ends: &Ends,
    lost: u32,
    took: Duration,
) -> String {
    let (tasks, steps, attempts): (i64, i64, i64) = sqlx::query_as(
        "select \
             (select count(*) from tasker.tasks), \
             count(*) filter (where state = 'complete'), \
             coalesce(sum(claim_no), 0)::bigint \
         from tasker.steps",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    let reclaimed = reclaimed(pool, deaths).await;
    let (saved, moved) = growing::checkpoints(pool).await;
    let Answers { duplicates, stale, refused, .. } = answers;
    let events::Figures { expected, booked, keyed, heard, accepted } = events::figures(pool).await;
    let rows = [
        ("tasks", tasks.to_string()),
        (
            "steps completed",
            format!(
                "{steps} ({attempts} claims, {:.0} steps/s)",
                steps as f64 / took.as_secs_f64()
            ),
        ),
        ("checkpoints", format!("{saved} ({moved} instances went on at another worker)")),
        ("events of accepted results", format!("{expected} ({accepted} results)")),
        (
            "events consumed",
            format!(
                "{} ({booked} by plain calls, {lost} transactions lost; {keyed} by the helper)",
                booked + keyed
            ),
        ),
        ("fast events heard", heard.to_string()),
        ("late results rejected", format!("{stale} stale, {duplicates} duplicate")),
        ("refused with events", refused.len().to_string()),
        (
            "kill to re-claim",
            format!(
                "p50 {}, p95 {} ({} steps, lease 2 s)",
                percentile(&reclaimed, 50),
                percentile(&reclaimed, 95),
                reclaimed.len()
            ),
        ),
    ];
    let lines: Vec<String> = inflicted(deaths, ends)
        .into_iter()
        .chain(rows)
        .map(|(name, value)| format!("  {name:<28} {value}"))
        .collect();
    format!("\n{}\n", lines.join("\n"))
}
