//! A transaction of the worker's pool that never stays open: whatever becomes of the future that
//! holds it, the server ends it within a second or two.

use crate::shared::Shared;
use pgtasker_core::{
    db::Delays,
    error::is_transient,
    limited::{self, Lent},
    pooler,
    session::{self, FORGET, Session},
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use std::{pin::pin, time::Duration};
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a connection may take to roll back before its backend is ended by another.
const ROLLBACK: Duration = Duration::from_secs(1);
/// Then the server's own limits have to do.
const TRIES: usize = 10;
/// Waits between tries to begin.
const DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// For what the server answers at once, a commit on a slow disk included; a pooler may have to wait
/// for a server connection.
const ANSWER: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// How often it is asked, by another connection, whether a statement still runs.
const LOOK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));
/// Behind a pooler, what the server connection's last user has left: handlers' statements are
/// prepared under names, which start over with each client. A pooler that knows prepared
/// statements gives them other names, which are its own.
const DEALLOCATE: &str = r"
do $$
declare
    v_name text;
begin
    for v_name in
        select name
        from pg_catalog.pg_prepared_statements
        where name like 'sqlx\_s\_%'
    loop
        execute pg_catalog.format('deallocate %I', v_name);
    end loop;
end
$$";
/// It is taken only by commit, rollback, and drop, which end the value.
const OPEN: &str = "the transaction has not ended";

/// Rolled back when dropped.
pub(crate) struct OwnTransaction {
    /// None once it has ended.
    inner: Option<Inner>,
}

struct Inner {
    connection: Lent,
    pool: PgPool,
    session: Session,
    pooled: bool,
    /// Its application_name, for as long as it lasts; no other has it.
    name: String,
    /// Counts against the worker's `sql_slots` until the connection is free again.
    _slot: OwnedSemaphorePermit,
}

impl OwnTransaction {
    /// Begins in READ COMMITTED, with limits for the case that this process cannot end it: no
    /// statement takes longer than `limit`, no pause between two longer than `pause`.
    /// `pg_stat_activity` names the task. Waits for as long as the database is away: nothing has
    /// been done yet, and no step must fail for that.
    pub(crate) async fn begin(
        worker: &Shared,
        cancelled: &CancellationToken,
        slot: OwnedSemaphorePermit,
        task_id: Uuid,
        (limit, pause): (Duration, Duration),
    ) -> sqlx::Result<Self> {
        let name = format!("tasker {task_id} {}", &Uuid::now_v7().simple().to_string()[20..]);
        let pooled = worker.settings.poll_only;
        let begin = begin_statements(&name, limit, pause, pooled);
        // A restart of the server leaves a pool full of dead connections. Nothing has been done
        // yet: the next.
        let pool = &worker.pool;
        let (mut dead, mut delays) = (pool.num_idle(), Delays::new(DELAYS.0, DELAYS.1));
        let connection = loop {
            cancelled.run_until_cancelled(worker.breaker.closed()).await;
            match try_begin(worker, begin.clone(), pooled).await {
                Ok(connection) => break connection,
                Err(error) if cancelled.is_cancelled() || !is_transient(&error) => {
                    return Err(error);
                }
                Err(_) if dead > 0 => dead -= 1,
                Err(_) => {
                    cancelled.run_until_cancelled(sleep(delays.next())).await;
                }
            }
        };
        let session = Session::default().lease(worker.settings.lease);
        Ok(Self {
            inner: Some(Inner {
                connection,
                pool: pool.clone(),
                session,
                pooled,
                name,
                _slot: slot,
            }),
        })
    }

    /// To read from.
    pub(crate) fn as_connection(&self) -> &PgConnection {
        &self.inner.as_ref().expect(OPEN).connection
    }

    /// To run statements on.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner.as_mut().expect(OPEN).connection
    }

    /// Waits until the server knows nothing any more of a statement that it has not answered: a
    /// connection may be silent forever, and the statement's own time be long. For use beside the
    /// statement.
    pub(crate) fn silence(&self) -> impl Future<Output = ()> + use<> {
        let inner = self.inner.as_ref().expect(OPEN);
        let (pool, name) = (inner.pool.clone(), inner.name.clone());
        async move {
            let (mut pause, mut missed) = (LOOK.0, 0);
            while missed < 2 {
                sleep(if missed == 0 { pause } else { LOOK.0 / 2 }).await;
                pause = (pause * 2).min(LOOK.1);
                match is_running(&pool, &name).await {
                    Ok(true) => missed = 0,
                    Ok(false) => missed += 1,
                    // Nothing is known.
                    Err(error) => tracing::debug!(%error, "cannot look after a statement"),
                }
            }
        }
    }

    /// After an error that is not the database's, the fate of the transaction is unknown.
    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        match self.inner.take() {
            Some(inner) => inner.commit().await,
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

async fn try_begin(worker: &Shared, begin: String, pooled: bool) -> sqlx::Result<Lent> {
    let waiting = worker.pool_wait.begin();
    let mut connection = Lent::from(&worker.pool).await?;
    drop(waiting);
    limited::begin(&mut connection, begin, answer(pooled)).await?;
    if pooled {
        limited::within(answer(pooled), pooler::forget(&mut connection)).await?;
    }
    Ok(connection)
}

fn answer(pooled: bool) -> Duration {
    if pooled { ANSWER.1 } else { ANSWER.0 }
}

fn begin_statements(name: &str, limit: Duration, pause: Duration, pooled: bool) -> String {
    let millis = |limit: Duration| limit.as_millis().clamp(1, i32::MAX as u128);
    let (limit, pause) = (millis(limit), millis(pause));
    let (defaults, check) = (session::defaults(), session::check(true));
    // What the function or handler does is its own: how long it waits for a lock is the database's
    // or the role's to say.
    let begin = format!(
        "begin isolation level read committed; set local application_name = '{name}'; \
         set local statement_timeout = {limit}; set local idle_in_transaction_session_timeout = \
         {pause}; \
         {defaults}; {check}"
    );
    if pooled { format!("{begin}; {DEALLOCATE}") } else { begin }
}

impl Inner {
    async fn commit(mut self) -> sqlx::Result<()> {
        let limit = answer(self.pooled);
        if self.pooled {
            // The server connection goes to another client with the commit: what was left on it is
            // taken back before.
            limited::within(limit, sqlx::raw_sql(FORGET).execute(&mut *self.connection)).await?;
        }
        limited::commit(&mut self.connection, limit).await?;
        // The step need not wait for it.
        tokio::spawn(self.recycle());
        Ok(())
    }

    /// Gives the connection back as new: functions and handlers may have left settings, a role,
    /// locks, and more. Where that does not end well it is closed.
    async fn recycle(mut self) {
        let limit = answer(self.pooled);
        if !self.pooled {
            let as_new = async {
                pooler::forget(&mut self.connection).await?;
                sqlx::raw_sql(AssertSqlSafe(self.session.reset()))
                    .execute(&mut *self.connection)
                    .await
            };
            if let Err(error) = limited::within(limit, as_new).await {
                tracing::debug!(%error, "a connection cannot be made as new: closed");
                return;
            }
        }
        self.connection.give_back();
    }

    /// Rolls back. A connection that is in the midst of a statement does not get to it: its backend
    /// is ended, and with it the transaction.
    async fn end(mut self) {
        let patience = ROLLBACK * 2 * u32::try_from(TRIES).unwrap_or(u32::MAX);
        let rolled_back = {
            let mut rollback = pin!(rollback(&mut self.connection, self.pooled, patience));
            let mut done = None;
            for _ in 0..TRIES {
                if let Ok(ended) = tokio::time::timeout(ROLLBACK, rollback.as_mut()).await {
                    done = Some(ended);
                    break;
                }
                match limited::within(ROLLBACK, terminate(&self.pool, &self.name)).await {
                    // It is gone: a connection that says nothing does not tell.
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot end the transaction of a step that has \
                            ended: the server's limits will");
                    }
                }
            }
            done
        };
        if let Some(Ok(())) = rolled_back {
            // Nobody need wait for it.
            tokio::spawn(self.recycle());
        }
    }
}

/// With what no rollback takes back, where a pooler gives the server connection to another client
/// next.
async fn rollback(
    connection: &mut PgConnection,
    pooled: bool,
    limit: Duration,
) -> sqlx::Result<()> {
    if pooled {
        let sql = "rollback; select pg_catalog.pg_advisory_unlock_all()";
        limited::within(limit, sqlx::raw_sql(sql).execute(&mut *connection)).await?;
    }
    limited::rollback(connection, limit).await
}

/// Whether the statement of this name is under way and its answer not waiting to be read. Not by
/// the pool: all of its connections may be in use.
async fn is_running(pool: &PgPool, name: &str) -> sqlx::Result<bool> {
    let sql = format!(
        "select 1 from pg_stat_activity where application_name = '{name}' and state = 'active' \
            and wait_event_type is distinct from 'Client'"
    );
    ask(pool, sql).await
}

/// Whether there is no such backend any more.
async fn terminate(pool: &PgPool, name: &str) -> sqlx::Result<bool> {
    let sql = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'"
    );
    ask(pool, sql).await.map(|there| !there)
}

/// Whether the statement, not prepared, for poolers, finds something. The name in it is ours and
/// has no quote in it.
async fn ask(pool: &PgPool, sql: String) -> sqlx::Result<bool> {
    let mut connection = limited::open(&pool.connect_options()).await?;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection);
    let rows = limited::within(limited::PING, rows).await?;
    limited::close(connection).await.ok();
    Ok(!rows.is_empty())
}
