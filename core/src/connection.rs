//! The database connection of one actor. An actor keeps its own, so that prepared statements and the
//! plans of its functions stay warm in one backend: a pool would hand out all of its connections in turn.

use crate::{Error, Result};
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A call that takes longer has lost its server: TCP alone would notice only after many minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// One actor's connection: kept between calls where the pool has enough for all, else lent per call.
#[derive(Debug)]
pub struct OwnConnection {
    pool: PgPool,
    held: Option<PoolConnection<Postgres>>,
    keep: bool,
    /// After an error a connection is asked first whether it is alive: a restart of the server leaves a
    /// pool full of dead ones.
    doubtful: bool,
    stop: CancellationToken,
}

impl OwnConnection {
    /// Waiting for a connection ends with `stop`; a call that has begun does not.
    pub fn new(pool: PgPool, keep: bool, stop: CancellationToken) -> Self {
        Self { pool, held: None, keep, doubtful: false, stop }
    }

    /// Runs one database call on the connection. After an error that one is not used again.
    ///
    /// # Errors
    /// The call's, no connection to be had, or no answer within a minute (transient).
    pub async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T> {
        let mut connection = match self.held.take() {
            Some(held) => held,
            None => self.acquire().await?,
        };
        match timeout(CALL_TIMEOUT, call(&mut connection)).await {
            Ok(Ok(done)) => {
                self.doubtful = false;
                self.held = Some(connection).filter(|_| self.keep);
                Ok(done)
            }
            Ok(Err(error)) => {
                self.doubtful = true;
                let error = Error::from(error);
                if error.is_transient() {
                    connection.close_on_drop();
                }
                Err(error)
            }
            Err(_) => {
                self.doubtful = true;
                connection.close_on_drop();
                Err(Error::Database(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
            }
        }
    }

    async fn acquire(&self) -> Result<PoolConnection<Postgres>> {
        loop {
            let acquired = self.stop.run_until_cancelled(self.pool.acquire()).await;
            let mut connection = acquired.unwrap_or(Err(sqlx::Error::PoolClosed))?;
            if !self.doubtful {
                return Ok(connection);
            }
            match connection.ping().await {
                Ok(()) => return Ok(connection),
                Err(error) => {
                    tracing::debug!(%error, "a pooled connection is dead");
                    connection.close_on_drop();
                }
            }
        }
    }
}
