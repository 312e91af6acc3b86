//! Connections of a pool, with a limit to everything that is awaited on one: a connection may say
//! nothing forever, and no call of sqlx ends by itself then, nor does a connection's way back to
//! its pool, which would lose the pool's place for it. The one place where sqlx's acquire, begin,
//! commit, and ping are used.

#![allow(clippy::disallowed_methods, reason = "each has its limit here")]

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Database, PgConnection, PgPool, Postgres,
    SqlSafeStr, pool::PoolConnection, postgres::PgConnectOptions,
};
use sqlx_core::transaction::TransactionManager;
use std::{
    ops::{Deref, DerefMut},
    pin::pin,
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// For a question that costs the server nothing.
pub const PING: Duration = Duration::from_secs(2);
/// For opening a connection outside of a pool.
pub const CONNECT: Duration = Duration::from_secs(10);
/// How often the pool is looked into while a connection is opened.
const AGAIN: Duration = Duration::from_millis(50);
/// How long one opens a connection before he looks what came back meanwhile; longer each time, as
/// some take long to open.
const PATIENCE: Duration = Duration::from_secs(1);
/// It is taken only by what ends the value.
const THERE: &str = "the connection has been given back";

type Manager = <Postgres as Database>::TransactionManager;

/// A connection lent by a pool. What did not end cleanly must not go to the next: it is closed,
/// unless it is given back.
#[derive(Debug)]
pub struct Lent(Option<PoolConnection<Postgres>>);

impl Lent {
    /// A connection of the pool, within its `acquire_timeout`.
    ///
    /// # Errors
    /// None is free, or none can be opened.
    pub async fn from(pool: &PgPool) -> sqlx::Result<Self> {
        let limit = pool.options().get_acquire_timeout();
        timeout(limit, Self::patiently(pool)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn patiently(pool: &PgPool) -> sqlx::Result<Self> {
        let mut patience = PATIENCE;
        loop {
            // Where the server gives no more connections, sqlx goes on asking it while others come
            // back to the pool.
            let asked = timeout(patience, Self::opened(pool)).await;
            // Those who ask hold a place of the pool each, and he who holds none finds what came
            // back.
            match asked.ok().or_else(|| Self::idle(pool).map(Ok)) {
                Some(lent) => return lent,
                None => patience *= 2,
            }
        }
    }

    /// An idle connection, or a new one.
    async fn opened(pool: &PgPool) -> sqlx::Result<Self> {
        let mut acquire = pin!(pool.acquire());
        loop {
            match timeout(AGAIN, acquire.as_mut()).await {
                Ok(acquired) => return acquired.map(|connection| Self(Some(connection))),
                Err(_) => {
                    if let Some(idle) = Self::idle(pool) {
                        return Ok(idle);
                    }
                }
            }
        }
    }

    /// The same where the server has no more connections than those that there are: whichever comes
    /// back, and now and then the question whether there are more.
    ///
    /// # Errors
    /// None came back within the pool's `acquire_timeout`.
    pub async fn shared(pool: &PgPool) -> sqlx::Result<Self> {
        let back = async {
            let (mut asked, mut patience) = (Instant::now(), PATIENCE);
            loop {
                if let Some(idle) = Self::idle(pool) {
                    return idle;
                }
                if asked.elapsed() > PATIENCE {
                    if let Ok(Ok(lent)) = timeout(patience, Self::opened(pool)).await {
                        return lent;
                    }
                    (asked, patience) = (Instant::now(), patience * 2);
                }
                sleep(AGAIN / 5).await;
            }
        };
        timeout(pool.options().get_acquire_timeout(), back)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)
    }

    /// An idle connection of the pool, if it has one.
    pub fn idle(pool: &PgPool) -> Option<Self> {
        pool.try_acquire().map(|connection| Self(Some(connection)))
    }

    /// Nothing is under way on it: the next may use it. It is asked once more, and closed if it
    /// does not answer.
    pub fn give_back(mut self) {
        if let Some(mut connection) = self.0.take() {
            tokio::spawn(timeout(PING, connection.return_to_pool()));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_deref().expect(THERE)
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_deref_mut().expect(THERE)
    }
}

/// Waits for `limit`, then the answer is an error like that of a broken connection.
///
/// # Errors
/// The call's, or no answer in time.
pub async fn within<T>(
    limit: Duration,
    call: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(silent()))
}

/// The error of a connection that says nothing.
pub fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// Opens a connection that is no pool's.
///
/// # Errors
/// The database's, or no answer in time.
pub async fn open(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    within(CONNECT, options.connect()).await
}

/// Says goodbye.
///
/// # Errors
/// It is gone already, or does not take it.
pub async fn close(connection: PgConnection) -> sqlx::Result<()> {
    within(PING, connection.close()).await
}

/// Asks whether it is alive.
///
/// # Errors
/// It is not, or does not say so in time.
pub async fn ping(connection: &mut PgConnection, limit: Duration) -> sqlx::Result<()> {
    within(limit, connection.ping()).await
}

/// Begins a transaction by these statements. A caller that drops this, or gets an error, must close
/// the connection: the server may have begun all the same.
///
/// # Errors
/// The database's, or no answer in time.
pub async fn begin(
    connection: &mut PgConnection,
    sql: String,
    limit: Duration,
) -> sqlx::Result<()> {
    within(limit, Manager::begin(connection, Some(AssertSqlSafe(sql).into_sql_str()))).await
}

/// Commits.
///
/// # Errors
/// The database's; or no answer in time, which leaves open whether it has committed.
pub async fn commit(connection: &mut PgConnection, limit: Duration) -> sqlx::Result<()> {
    within(limit, Manager::commit(connection)).await
}

/// Rolls back everything, savepoints too.
///
/// # Errors
/// The database's, or no answer in time.
pub async fn rollback(connection: &mut PgConnection, limit: Duration) -> sqlx::Result<()> {
    within(limit, async {
        while Manager::get_transaction_depth(connection) > 0 {
            Manager::rollback(connection).await?;
        }
        Ok(())
    })
    .await
}

/// Closes a pool, its open connections too. False: some did not take leave in time, and are left
/// behind.
pub async fn close_pool(pool: &PgPool, limit: Duration) -> bool {
    timeout(limit, pool.close()).await.is_ok()
}

/// Lends nothing more from a pool, and closes what comes back.
pub fn leave(pool: &PgPool) {
    // It is closed for others with the call, not with the answer.
    drop(pool.close());
}
