//! Leases and heartbeats, on a thread of their own with connections of their own: handlers that
//! block all other threads, or use up the pool, let no lease run out.

use super::WorkerStatusActor;
use crate::{claim::leases, shared::Shared};
use pgtasker_core::limited;
use sqlx::PgPool;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{join, runtime::Builder, sync::oneshot};
use tokio_util::sync::CancellationToken;

/// One for the leases, one for heartbeats.
const CONNECTIONS: u32 = 2;
/// How long they may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs until `stop`. A panic there is one here.
pub(crate) async fn run(shared: Arc<Shared>, status: WorkerStatusActor, stop: CancellationToken) {
    let (ended, end) = oneshot::channel();
    // Dropped with this future, it ends the thread.
    let _guard = stop.clone().drop_guard();
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(|| serve(shared, status, &stop)));
        // Nobody waits for it where the worker was dropped.
        ended.send(result).ok();
    };
    if let Err(error) = thread::Builder::new().name("tasker-leases".to_owned()).spawn(body) {
        panic!("cannot start the thread of the leases: {error}");
    }
    if let Ok(Err(panic)) = end.await {
        resume_unwind(panic);
    }
}

fn serve(shared: Arc<Shared>, status: WorkerStatusActor, stop: &CancellationToken) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("cannot start the runtime of the leases: {error}"),
    };
    runtime.block_on(async {
        let pool = pool(&shared.pool);
        let status = status.on(&pool, stop);
        let watch = leases::watch_threads(&shared, stop);
        // Boxed: as one type they are nested deeper than an optimizing compiler goes.
        let leases = Box::pin(leases::run(Arc::clone(&shared), &pool, stop.clone()));
        join!(leases, Box::pin(status.run(stop.clone())), watch);
        limited::close_pool(&pool, FAREWELL).await;
    });
}

/// Connects as the worker's pool does. Its connections live on the runtime on which they are used
/// first.
fn pool(of: &PgPool) -> PgPool {
    let options = of.options().clone().min_connections(0).max_connections(CONNECTIONS);
    options.connect_lazy_with((*of.connect_options()).clone())
}
