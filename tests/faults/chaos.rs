//! Kills at random: worker and orchestrator processes by SIGKILL, backends by pg_terminate_backend,
//! the server by an immediate restart. And what is worse than an end: connections that say nothing,
//! or of which only one end is left, and workers that are asked to stop amid their steps.

use crate::{
    args::Args,
    children::{Children, Place},
    pause,
    rng::Rng,
};
use chrono::{DateTime, Utc};
use pgtasker_embedded::Embedded;
use pgtasker_tests::{Network, Proxy};
use sqlx::PgPool;
use std::{
    process::Command,
    sync::{Arc, Mutex as StdMutex},
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, time::sleep};
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
    /// Workers asked to stop by SIGTERM.
    pub stops: u32,
    /// Times all connections said nothing any more; and times the server's ends of them were gone.
    pub silences: (u32, u32),
    /// Times the network was down, for a second or two.
    pub cuts: u32,
}

/// After this long the server notices that a connection is silent.
const KEEPALIVE: Duration = Duration::from_secs(4);

/// Goes on for as long as the arguments say.
pub async fn run(
    args: &Args,
    children: &Children,
    server: &Arc<Mutex<Embedded>>,
    pool: &PgPool,
    proxy: &Arc<Proxy>,
) -> Deaths {
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
            0..44 => {
                if let Some(id) =
                    signal("KILL", &children.workers[rng.below(children.workers.len())])
                {
                    deaths.worker_kills += 1;
                    deaths.workers.extend(id.map(|id| (id, Utc::now())));
                }
            }
            44..62 => {
                let place = &children.orchestrators[rng.below(children.orchestrators.len())];
                deaths.orchestrator_kills += u32::from(signal("KILL", place).is_some());
            }
            62..69 => {
                deaths.consumer_kills += u32::from(signal("KILL", &children.consumer).is_some())
            }
            69..81 => deaths.backends += terminate(pool, 1 + rng.below(4) as i64).await,
            81..89 => {
                let stopped = signal("TERM", &children.workers[rng.below(children.workers.len())]);
                deaths.stops += u32::from(stopped.is_some());
            }
            89..92 => {
                deaths.silences.0 += 1;
                proxy.silence();
                let proxy = Arc::clone(proxy);
                tokio::spawn(async move {
                    sleep(KEEPALIVE).await;
                    proxy.give_up();
                });
            }
            92..94 => {
                deaths.silences.1 += 1;
                proxy.half_open();
            }
            94..96 => {
                deaths.cuts += 1;
                proxy.set(Network::Down);
                sleep(Duration::from_millis(500 + rng.below(1500) as u64)).await;
                proxy.set(Network::Up);
            }
            _ => {
                server.lock().await.restart_immediate().await.unwrap();
                deaths.restarts += 1;
            }
        }
    }
}

/// A signal to who is at this place; its id, if it has said it. None: nobody is there.
fn signal(name: &str, place: &Arc<StdMutex<Place>>) -> Option<Option<Uuid>> {
    let place = place.lock().unwrap();
    let pid = place.pid?;
    // Under the lock, so that the process has not been waited for and its number not been given to
    // another.
    let sent =
        Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success();
    sent.then_some(place.id)
}

/// Backends of workers, orchestrators, and consumers, and of steps' own transactions, whatever they
/// are doing. Of each kind about as many: there are far more of workers.
async fn terminate(pool: &PgPool, n: i64) -> u64 {
    sqlx::query(
        "select pg_terminate_backend(a.pid)
           from (select b.pid from pg_stat_activity b cross join lateral (select \
           split_part(b.application_name, ' ', 1) as program) p
                  where p.program in ('faults', 'tasker', \
                  'tasker-worker')
                  order by row_number() over (partition by case p.program when 'faults' then \
                  b.application_name end order by random()), random() limit $1) a",
    )
    .bind(n)
    .execute(pool)
    .await
    .map_or(0, |done| done.rows_affected())
}
