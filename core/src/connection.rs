//! The database connection of one actor. An actor keeps its own, so that prepared statements and the
//! plans of its functions stay warm in one backend: a pool would hand out all of its connections in turn.

use crate::{
    Error, Result,
    breaker::Breaker,
    error::is_outage,
    meters::PoolWait,
    pooler::{self, DbConnection},
    progress::Progress,
};
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A call that takes longer has lost its server: TCP alone would notice only after many minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A call that began before an outage and has not been answered so long after its end hangs on a host that is gone.
const AFTER_OUTAGE: Duration = Duration::from_secs(5);
/// For the question whether a connection is alive.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// One actor's connection: kept between calls where the pool has enough for all, else lent per call. Calls
/// wait while the circuit to the database is open.
#[derive(Debug)]
pub struct OwnConnection {
    pool: PgPool,
    breaker: Breaker,
    held: Option<PoolConnection<Postgres>>,
    keep: bool,
    /// Every call is a transaction, unprepared.
    pooled: bool,
    /// Before its first use, and after an error or an outage, a connection is asked whether it is alive: a
    /// restart of the server leaves a pool full of dead ones.
    doubtful: bool,
    /// How often the circuit had opened at the last use.
    times_opened: u32,
    stop: CancellationToken,
    wait: PoolWait,
    progress: Option<Progress>,
}

impl OwnConnection {
    /// Waiting for the database or a connection ends with `stop`; a call that has begun does not.
    pub fn new(pool: PgPool, breaker: Breaker, keep: bool, stop: CancellationToken) -> Self {
        let wait = PoolWait::new(&pool);
        Self {
            pool,
            breaker,
            held: None,
            keep,
            pooled: false,
            doubtful: true,
            times_opened: 0,
            stop,
            wait,
            progress: None,
        }
    }

    /// Whether this actor's calls succeed is a matter of its process's health: for one that tries until they do.
    pub fn watched(mut self, actor: &'static str) -> Self {
        self.progress = Some(Progress::new(actor, self.breaker.health()));
        self
    }

    /// Whether a pooler in transaction mode may be between it and the server; see [`crate::pooler`].
    pub fn pooled(mut self, pooled: bool) -> Self {
        self.pooled = pooled;
        self
    }

    /// Runs one database call on the connection. After an error that one is not used again.
    ///
    /// # Errors
    /// The call's, no connection to be had, or no answer: within a minute, or soon after an outage (transient).
    pub async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut DbConnection<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T> {
        self.call_within(CALL_TIMEOUT, call).await
    }

    /// The same with a limit of its own to the time without an answer.
    ///
    /// # Errors
    /// As [`OwnConnection::call`].
    pub async fn call_within<T>(
        &mut self,
        limit: Duration,
        call: impl AsyncFnOnce(&mut DbConnection<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T> {
        if let Some(progress) = &self.progress {
            progress.begin();
        }
        let result = self.try_call(limit, call).await;
        match (&self.progress, &result) {
            (Some(progress), Ok(_)) => progress.succeeded(),
            (Some(progress), Err(error)) => progress.failed(error),
            (None, _) => {}
        }
        result
    }

    async fn try_call<T>(
        &mut self,
        limit: Duration,
        call: impl AsyncFnOnce(&mut DbConnection<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T> {
        let mut connection = self.take().await?;
        let silence = async {
            let after_an_outage = async {
                self.breaker.opened().await;
                self.breaker.closed().await;
                sleep(AFTER_OUTAGE).await;
            };
            tokio::select! {
                () = sleep(limit) => {}
                () = after_an_outage => {}
            }
        };
        let result = tokio::select! {
            biased;
            result = run(&mut connection, self.pooled, call) => result,
            () = silence => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        self.breaker.record(&result);
        match result {
            Ok(done) => {
                self.doubtful = false;
                self.held = Some(connection).filter(|_| self.keep);
                Ok(done)
            }
            Err(error) => {
                self.doubtful = true;
                let error = Error::from(error);
                if error.is_transient() {
                    connection.close_on_drop();
                }
                Err(error)
            }
        }
    }

    /// A connection to do more with than one call. Waits through an outage.
    ///
    /// # Errors
    /// No connection to be had, or `stop`.
    pub async fn take(&mut self) -> Result<PoolConnection<Postgres>> {
        loop {
            let (closed, times_opened) = self.breaker.look();
            if !closed && self.stop.run_until_cancelled(self.breaker.closed()).await.is_none() {
                return Err(Error::Database(sqlx::Error::PoolClosed));
            }
            self.doubtful |= times_opened != std::mem::replace(&mut self.times_opened, times_opened);
            if let Some(connection) = self.acquire().await? {
                return Ok(connection);
            }
        }
    }

    /// None: the circuit has opened.
    async fn acquire(&mut self) -> Result<Option<PoolConnection<Postgres>>> {
        let mut connection = match self.held.take() {
            Some(held) => held,
            None => {
                let waiting = self.wait.begin();
                let acquired = tokio::select! {
                    biased;
                    acquired = self.pool.acquire() => acquired,
                    // The pool would go on trying by itself for as long as its acquire_timeout.
                    () = self.breaker.opened() => return Ok(None),
                    () = self.stop.cancelled() => Err(sqlx::Error::PoolClosed),
                };
                drop(waiting);
                if let Err(error) = &acquired
                    && is_outage(error)
                {
                    self.breaker.record(&acquired);
                }
                acquired?
            }
        };
        if !self.doubtful {
            return Ok(Some(connection));
        }
        // A pooler answers only once it has a server connection to spare; another client connection would be last in its
        // queue again.
        let patience = if self.pooled { CALL_TIMEOUT } else { PING_TIMEOUT };
        let answer = tokio::select! {
            biased;
            answer = timeout(patience, connection.ping()) => answer,
            () = self.breaker.opened() => Ok(Err(sqlx::Error::PoolClosed)),
        };
        match answer {
            Ok(Ok(())) => return Ok(Some(connection)),
            Ok(Err(error)) => tracing::debug!(%error, "a pooled connection is dead"),
            Err(_) => tracing::debug!("a pooled connection is silent"),
        }
        connection.close_on_drop();
        // The next one is asked as well.
        Ok(None)
    }
}

async fn run<T>(
    connection: &mut PgConnection,
    pooled: bool,
    call: impl AsyncFnOnce(&mut DbConnection<'_>) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    if !pooled {
        return call(&mut DbConnection::direct(connection)).await;
    }
    let mut transaction = pooler::begin(connection).await?;
    let done = call(&mut DbConnection::pooled(&mut transaction)).await;
    pooler::end(transaction, done).await
}
