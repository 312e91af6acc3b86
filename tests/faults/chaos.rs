//! Kills at random: worker and orchestrator processes by SIGKILL, backends by pg_terminate_backend, the server by an
//! immediate restart.

use crate::{
    args::Args,
    children::{Children, Place},
    pause,
    rng::Rng,
};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::{
    process::Command,
    sync::{Arc, Mutex as StdMutex},
    time::{Duration, Instant},
};
use tasker_embedded::Embedded;
use tokio::sync::Mutex;
use uuid::Uuid;

/// What was done.
#[derive(Debug, Default)]
pub struct Deaths {
    /// Killed workers that had said their id, and when.
    pub workers: Vec<(Uuid, DateTime<Utc>)>,
    /// Workers killed in all.
    pub worker_kills: u32,
    /// Orchestrators killed.
    pub orchestrator_kills: u32,
    /// Consumers of events killed.
    pub consumer_kills: u32,
    /// Backends terminated.
    pub backends: u64,
    /// Immediate restarts of the server.
    pub restarts: u32,
}

/// Goes on for as long as the arguments say.
pub async fn run(args: &Args, children: &Children, server: &Arc<Mutex<Embedded>>, pool: &PgPool) -> Deaths {
    let mut rng = Rng::new(args.seed, 3);
    let mut deaths = Deaths::default();
    let end = Instant::now() + args.chaos;
    loop {
        // From half to one and a half of the mean.
        let mean = args.every.as_millis() as usize;
        let wait = Duration::from_millis((mean / 2 + rng.below(mean + 1)) as u64);
        pause(end.saturating_duration_since(Instant::now()), wait).await;
        if Instant::now() >= end {
            return deaths;
        }
        match rng.below(100) {
            0..50 => {
                if let Some(id) = kill(&children.workers[rng.below(children.workers.len())]) {
                    deaths.worker_kills += 1;
                    deaths.workers.extend(id.map(|id| (id, Utc::now())));
                }
            }
            50..72 => {
                let killed = kill(&children.orchestrators[rng.below(children.orchestrators.len())]);
                deaths.orchestrator_kills += u32::from(killed.is_some());
            }
            72..80 => deaths.consumer_kills += u32::from(kill(&children.consumer).is_some()),
            80..95 => deaths.backends += terminate(pool, 1 + rng.below(4) as i64).await,
            _ => {
                server.lock().await.restart_immediate().await.unwrap();
                deaths.restarts += 1;
            }
        }
    }
}

/// SIGKILL to who is at this place; its id, if it has said it. None: nobody is there.
fn kill(place: &Arc<StdMutex<Place>>) -> Option<Option<Uuid>> {
    let place = place.lock().unwrap();
    let pid = place.pid?;
    // Under the lock, so that the process has not been waited for and its number not been given to another.
    let killed = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status().unwrap().success();
    killed.then_some(place.id)
}

/// Backends of workers, orchestrators, and consumers, and of steps' own transactions, whatever they are doing. Of each
/// kind about as many: there are far more of workers.
async fn terminate(pool: &PgPool, n: i64) -> u64 {
    sqlx::query(
        "select pg_terminate_backend(a.pid)
           from (select b.pid from pg_stat_activity b cross join lateral (select split_part(b.application_name, ' ', 1) as program) p
                  where p.program in ('faults', 'tasker')
                  order by row_number() over (partition by case p.program when 'faults' then b.application_name end order by random()), random() limit $1) a",
    )
    .bind(n)
    .execute(pool)
    .await
    .map_or(0, |done| done.rows_affected())
}
