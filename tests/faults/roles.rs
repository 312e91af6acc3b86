//! What a child process is: an orchestrator, a worker with the handlers of [`crate::load`], or a
//! consumer of events.

use crate::{consumers, events, load};
use pgtasker_core::{
    db::{DbOptions, connect},
    session::Session,
    signals,
};
use pgtasker_orchestrator::{CONNECTIONS, Orchestrator};
use pgtasker_worker::{CancellationToken, Worker};
use std::{process::ExitCode, time::Duration};

/// Short, so that a killed worker's steps come back within seconds.
const LEASE: Duration = Duration::from_secs(2);

/// Panics of handlers that are part of the plan say nothing.
fn hush() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&load::PLANNED) {
            usual(info);
        }
    }));
}

/// Runs until it is killed or, a worker, asked to stop; an error ends it, and another takes its
/// place.
pub async fn run(role: &str, url: &str) -> ExitCode {
    hush();
    let forever = CancellationToken::new();
    let ended = match role {
        "orchestrator" => orchestrator(url, forever).await,
        "worker" => worker(url, signals::shutdown().unwrap()).await,
        "consumer" => consumers::help(url, forever).await,
        other => Err(format!("no role {other}").into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// As the programs have them: what is silent is given up after about a lease.
fn options(url: &str, name: &str) -> DbOptions {
    DbOptions::new(url, name).session(Session::default().lease(LEASE))
}

type Ended = Result<(), Box<dyn std::error::Error>>;

async fn orchestrator(url: &str, forever: CancellationToken) -> Ended {
    let pool = connect(&options(url, "faults orchestrator").max_connections(CONNECTIONS)).await?;
    let orchestrator = Orchestrator::builder(pool).build().unwrap();
    println!("id {}", orchestrator.id());
    Ok(orchestrator.run(forever).await?)
}

async fn worker(url: &str, shutdown: CancellationToken) -> Ended {
    let pool = connect(&options(url, "faults worker").max_connections(12)).await?;
    let worker =
        load::register(Worker::builder(pool.clone())).lease(LEASE).concurrency(64).build()?;
    println!("id {}", worker.id());
    let mut ended = worker.subscribe(events::BROADCAST)?;
    tokio::spawn(async move {
        while let Some(event) = ended.next().await {
            // Fast events are told once or not at all; what is not written down was not heard.
            let heard = sqlx::query("insert into faults.heard values ($1, $2, $3, $4)")
                .bind(event.id)
                .bind(event.task_id)
                .bind(&event.step)
                .bind(event.claim_no);
            drop(heard.execute(&pool).await);
        }
    });
    Ok(worker.run(shutdown).await?)
}
