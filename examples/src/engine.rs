//! An orchestrator and a worker in this process. Usually they are processes of their own; here a
//! single program is easier to start.

use crate::{Error, Result};
use pgtasker_core::{
    Error as CoreError,
    db::{DbOptions, connect},
};
use pgtasker_orchestrator::{CONNECTIONS, Orchestrator};
use pgtasker_worker::{BuildError, CancellationToken, Worker, WorkerBuilder};
use std::{panic::resume_unwind, time::Duration};
use tokio::task::JoinSet;

/// Five are left for transactions that complete steps.
const WORKER_CONNECTIONS: u32 = 8;
/// How long running steps may take to finish when the engine is stopped.
const GRACE: Duration = Duration::from_secs(5);

type Ended = (&'static str, Result<(), CoreError>);

/// A running orchestrator and worker; both stop when it is dropped.
#[derive(Debug)]
pub struct Engine {
    shutdown: CancellationToken,
    running: JoinSet<Ended>,
}

impl Engine {
    /// Starts both on a database that `tasker migrate` has prepared. `register` gives the worker
    /// its namespace and handlers.
    ///
    /// # Errors
    /// The database is not reachable, or the worker is built wrongly. What goes wrong later is what
    /// [`Engine::run`] returns.
    pub async fn start(
        url: &str,
        register: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Result<Self> {
        Ok(Self::start_with(url, register, |_| Ok(())).await?.0)
    }

    /// The same, with a look at the worker before it runs: to subscribe to what its steps announce.
    ///
    /// # Errors
    /// As [`Engine::start`]; those of `look`.
    pub async fn start_with<T>(
        url: &str,
        register: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
        look: impl FnOnce(&Worker) -> Result<T, BuildError>,
    ) -> Result<(Self, T)> {
        let options = |name: &str| DbOptions::new(url, name);
        let orchestrating =
            connect(&options("tasker orchestrator").max_connections(CONNECTIONS)).await?;
        let working =
            connect(&options("tasker worker").max_connections(WORKER_CONNECTIONS)).await?;
        let worker = register(Worker::builder(working)).grace(GRACE).build()?;
        let seen = look(&worker)?;
        let orchestrator =
            Orchestrator::builder(orchestrating).build().map_err(BuildError::from)?;
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        let stop = shutdown.clone();
        running.spawn(async move { ("orchestrator", orchestrator.run(stop).await) });
        let stop = shutdown.clone();
        running.spawn(async move { ("worker", worker.run(stop).await) });
        Ok((Self { shutdown, running }, seen))
    }

    /// Runs `work`, which waits for the engine, for as long as the engine runs.
    ///
    /// # Errors
    /// Those of `work`; why the orchestrator or the worker could not start; [`Error::Ended`].
    pub async fn run<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            Some(ended) = self.running.join_next() => {
                let (which, result) = propagate(ended);
                result?;
                Err(Error::Ended(which))
            }
        }
    }

    /// Stops both in order: running steps are finished, their results stored.
    ///
    /// # Errors
    /// Why one of them could not start.
    pub async fn stop(mut self) -> Result<()> {
        self.shutdown.cancel();
        while let Some(ended) = self.running.join_next().await {
            propagate(ended).1?;
        }
        Ok(())
    }
}

/// A panic in the engine is a panic here.
fn propagate(ended: Result<Ended, tokio::task::JoinError>) -> Ended {
    match ended {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Only dropping the set cancels its tasks, and then nobody waits for them.
            Err(_) => ("engine", Ok(())),
        },
    }
}
