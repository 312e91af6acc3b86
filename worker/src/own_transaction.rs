//! A transaction of the worker's pool that never stays open: whatever becomes of the future that holds it,
//! the server ends it within a second or two.

use crate::worker::Shared;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, PgTransaction};
use std::{pin::pin, time::Duration};
use tasker_core::{db::Delays, error::is_transient, pooler};
use tokio::{
    runtime::Handle,
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a connection may take to roll back before its backend is ended by another.
const ROLLBACK: Duration = Duration::from_secs(1);
/// Then the server's own limits have to do.
const TRIES: usize = 10;
/// Waits between tries to begin.
const DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Behind a pooler, what the server connection's last user has left: handlers' statements are prepared under names, which
/// begin anew with each client. Of a pooler that knows prepared statements they have other names, which are its own.
const DEALLOCATE: &str = r"do $$ declare v_name text; begin
    for v_name in select name from pg_catalog.pg_prepared_statements where name like 'sqlx\_s\_%' loop
        execute pg_catalog.format('deallocate %I', v_name);
    end loop; end $$";
/// It is taken only by commit, rollback, and drop, which end the value.
const OPEN: &str = "the transaction has not ended";

/// Rolled back when dropped.
pub(crate) struct OwnTransaction {
    /// None once it has ended.
    inner: Option<Inner>,
}

struct Inner {
    transaction: PgTransaction<'static>,
    pool: PgPool,
    /// Its application_name, for as long as it lasts; no other has it.
    name: String,
    /// Counts against the worker's `sql_slots` until the connection is free again.
    _slot: OwnedSemaphorePermit,
}

impl OwnTransaction {
    /// Begins in READ COMMITTED, with limits for the case that this process cannot end it: no statement, and
    /// no pause between two, takes longer than `limit`. `pg_stat_activity` names the task. Waits for as long as the
    /// database is away: nothing has been done yet, and no step must fail for that.
    pub(crate) async fn begin(
        worker: &Shared,
        cancelled: &CancellationToken,
        slot: OwnedSemaphorePermit,
        task_id: Uuid,
        limit: Duration,
    ) -> sqlx::Result<Self> {
        let millis = limit.as_millis().clamp(1, i32::MAX as u128);
        let name = format!("tasker {task_id} {}", &Uuid::now_v7().simple().to_string()[20..]);
        // The server looks every second, in the midst of a statement too, whether this process is still there: else a
        // killed worker's statement would hold its locks until it ends. Windows cannot look.
        let begin = format!(
            "begin isolation level read committed; set local application_name = '{name}'; \
             set local statement_timeout = {millis}; set local idle_in_transaction_session_timeout = {millis}; \
             select set_config('client_connection_check_interval', '1s', true) \
              where current_setting('dynamic_shared_memory_type') <> 'windows'"
        );
        let pooled = worker.settings.poll_only;
        let begin = if pooled { format!("{begin}; {DEALLOCATE}") } else { begin };
        // A restart of the server leaves a pool full of dead connections. Nothing has been done yet: the next.
        let pool = &worker.pool;
        let (mut dead, mut delays) = (pool.num_idle(), Delays::new(DELAYS.0, DELAYS.1));
        let mut transaction = loop {
            cancelled.run_until_cancelled(worker.breaker.closed()).await;
            let waiting = worker.pool_wait.begin();
            let begun = pool.begin_with(AssertSqlSafe(begin.clone())).await;
            drop(waiting);
            match begun {
                Ok(transaction) => break transaction,
                Err(error) if cancelled.is_cancelled() || !is_transient(&error) => return Err(error),
                Err(_) if dead > 0 => dead -= 1,
                Err(_) => {
                    cancelled.run_until_cancelled(sleep(delays.next())).await;
                }
            }
        };
        if pooled {
            pooler::forget(&mut transaction).await?;
        }
        Ok(Self { inner: Some(Inner { transaction, pool: pool.clone(), name, _slot: slot }) })
    }

    /// To read from.
    pub(crate) fn as_connection(&self) -> &PgConnection {
        &self.inner.as_ref().expect(OPEN).transaction
    }

    /// To run statements on.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner.as_mut().expect(OPEN).transaction
    }

    /// After an error that is not the database's, the fate of the transaction is unknown.
    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        match self.inner.take() {
            Some(inner) => inner.transaction.commit().await,
            None => Ok(()),
        }
    }

    /// Returns when the server has rolled back.
    pub(crate) async fn rollback(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.end().await;
        }
    }
}

impl Drop for OwnTransaction {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn(inner.end()));
        }
    }
}

impl Inner {
    /// Rolls back. A connection that is in the midst of a statement does not get to it: its backend is ended,
    /// and with it the transaction.
    async fn end(self) {
        let mut rollback = pin!(self.transaction.rollback());
        for _ in 0..TRIES {
            if timeout(ROLLBACK, rollback.as_mut()).await.is_ok() {
                return;
            }
            if let Ok(Err(error)) = timeout(ROLLBACK, terminate(&self.pool, &self.name)).await {
                tracing::warn!(%error, "cannot end the transaction of a step that has ended: the server's limits will");
            }
        }
    }
}

/// Not by the pool: all of its connections may be in use.
async fn terminate(pool: &PgPool, name: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    // Not prepared, for poolers. The name is ours and has no quote in it.
    let terminate =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'");
    sqlx::raw_sql(AssertSqlSafe(terminate)).execute(&mut connection).await?;
    connection.close().await
}
