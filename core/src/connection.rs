//! The database connection of one actor. An actor keeps its own, so that prepared statements and
//! the plans of its functions stay warm in one backend: a pool would hand out all of its
//! connections in turn.

use crate::{
    Error, Result,
    breaker::Breaker,
    error::is_outage,
    hosts,
    limited::{self, Lent, PING},
    meters::PoolWait,
    pooler::{self, DbConnection},
    progress::Progress,
    session::Session,
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// A call that takes longer has lost its server: TCP alone would notice only after many minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer is waited for at first. It doubles with each missing answer in a row, up to
/// [`CALL_TIMEOUT`]: a dead connection must be given up soon, and a slow server must get there.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// However long the lease.
const LONGEST_FIRST: Duration = Duration::from_secs(10);
/// Who waits longer for a connection shares: the server, or this role, may have no more to give,
/// and no actor must starve beside others that keep theirs.
const SCARCE: Duration = Duration::from_millis(500);
/// However short the lease.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A call that began before an outage and is still unanswered this long after its end hangs on a
/// host that is gone.
const AFTER_OUTAGE: Duration = Duration::from_secs(5);

/// One actor's connection: kept between calls where the pool and the server have enough for all,
/// else lent per call. Calls wait while the circuit to the database is open.
#[derive(Debug)]
pub struct OwnConnection {
    pool: PgPool,
    breaker: Breaker,
    held: Option<Lent>,
    keep: bool,
    /// Every call is a transaction, unprepared.
    pooled: bool,
    /// Before its first use, and after an error or an outage, a connection is asked whether it is
    /// alive: a restart of the server leaves a pool full of dead ones.
    doubtful: bool,
    /// How often the circuit had opened at the last use.
    times_opened: u32,
    session: Session,
    /// When the held one answered last.
    used: Instant,
    /// How long the next answer may take.
    patience: Duration,
    first_patience: Duration,
    /// How long the last answer took.
    took: Duration,
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
            session: Session::default(),
            used: Instant::now(),
            patience: FIRST_TIMEOUT,
            first_patience: FIRST_TIMEOUT,
            took: Duration::ZERO,
            stop,
            wait,
            progress: None,
        }
    }

    /// Whether this actor's calls succeed is a matter of its process's health: for one that tries
    /// until they do.
    pub fn watched(mut self, actor: &'static str) -> Self {
        self.progress = Some(Progress::new(actor, self.breaker.health()));
        self
    }

    /// For work under leases of this length: who does not answer within it is given up.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.session = self.session.lease(lease);
        self.first_patience = lease.clamp(SHORTEST_TIMEOUT, LONGEST_FIRST);
        self.patience = self.first_patience;
        self
    }

    /// Whether a pooler in transaction mode may be between it and the server; see
    /// [`crate::pooler`].
    pub fn pooled(mut self, pooled: bool) -> Self {
        self.pooled = pooled;
        self
    }

    /// Runs one database call on the connection. After an error that one is not used again.
    ///
    /// # Errors
    /// The call's, no connection available, or no answer: within a minute, or soon after an outage
    /// (transient).
    pub async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut DbConnection<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T> {
        let limit = self.patience;
        let result = self.call_within(limit, call).await;
        self.patience = match &result {
            Err(Error::Database(sqlx::Error::Io(error)))
                if error.kind() == std::io::ErrorKind::TimedOut =>
            {
                (limit * 2).min(CALL_TIMEOUT)
            }
            // A server that is slow now is so the next time.
            _ => self.first_patience.max(self.took * 2).min(CALL_TIMEOUT),
        };
        result
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
        let since = Instant::now();
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
        let session = self.pooled.then_some(&self.session);
        let (result, clean) = tokio::select! {
            biased;
            result = run(&mut connection, session, call) => result,
            () = silence => (Err(limited::silent()), false),
        };
        self.took = since.elapsed();
        match &result {
            Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                self.breaker.suspect()
            }
            result => self.breaker.record(result),
        }
        let result = result.map_err(Error::from);
        // A refusal leaves it as it was; a server that stops or is out of something does not.
        let clean = clean && !result.as_ref().is_err_and(Error::is_transient);
        self.doubtful = result.is_err();
        if clean {
            self.used = Instant::now();
            if self.keep && result.is_ok() && !self.breaker.are_connections_scarce() {
                self.held = Some(connection);
            } else {
                connection.give_back();
            }
        }
        result
    }

    /// A connection to do more with than one call. Waits through an outage.
    ///
    /// # Errors
    /// No connection available, or `stop`.
    async fn take(&mut self) -> Result<Lent> {
        loop {
            let (closed, times_opened) = self.breaker.look();
            if !closed && self.stop.run_until_cancelled(self.breaker.closed()).await.is_none() {
                return Err(Error::Database(sqlx::Error::PoolClosed));
            }
            self.doubtful |=
                times_opened != std::mem::replace(&mut self.times_opened, times_opened);
            if let Some(connection) = self.acquire().await? {
                return Ok(connection);
            }
        }
    }

    /// None: the circuit has opened, or the connection is dead.
    async fn acquire(&mut self) -> Result<Option<Lent>> {
        let held = self.held.take();
        let asks = self.doubtful || held.is_some() && self.used.elapsed() > self.session.idle();
        let mut connection = match held {
            Some(held) => held,
            None => {
                let waiting = self.wait.begin();
                let lend = async {
                    match self.breaker.are_connections_scarce() {
                        true => Lent::shared(&self.pool).await,
                        false => Lent::from(&self.pool).await,
                    }
                };
                // While they hold theirs, nothing comes back.
                let others_must_share = async {
                    sleep(SCARCE).await;
                    self.breaker.connections_are_scarce();
                    std::future::pending::<()>().await;
                };
                let acquired = tokio::select! {
                    biased;
                    acquired = lend => acquired,
                    // The pool would go on trying by itself for as long as its acquire_timeout.
                    () = self.breaker.opened() => return Ok(None),
                    () = self.stop.cancelled() => Err(sqlx::Error::PoolClosed),
                    () = others_must_share => return Ok(None),
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
        if !asks {
            return Ok(Some(connection));
        }
        let answer = tokio::select! {
            biased;
            answer = self.ask(&mut connection) => answer,
            () = self.breaker.opened() => Err(sqlx::Error::PoolClosed),
        };
        // The next one is asked as well.
        self.doubtful = true;
        match answer {
            Ok(true) => return Ok(Some(connection)),
            // One of before a failover; or there is no other server.
            Ok(false) => self.breaker.record::<()>(&Err(hosts::read_only())),
            Err(error) => tracing::debug!(%error, "a pooled connection is dead"),
        }
        Ok(None)
    }

    /// Whether its server takes writes; an error where it is dead.
    async fn ask(&self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        if self.pooled {
            // A pooler answers only once it has a server connection to spare; another client
            // connection would be last in its queue again.
            return limited::ping(connection, CALL_TIMEOUT).await.map(|()| true);
        }
        // A pool that was not made by `db::connect` leaves its connections as they are.
        let ask = format!("{}; show transaction_read_only", self.session.set());
        let ask = sqlx::raw_sql(AssertSqlSafe(ask)).fetch_all(connection);
        let rows = limited::within(PING.min(self.session.idle().max(PING / 2)), ask).await?;
        Ok(rows.last().and_then(|row| row.try_get::<&str, _>(0).ok()) != Some("on"))
    }
}

/// What came of a call, and whether nothing is left under way on the connection. With `pooled`, in
/// a transaction with its limits.
async fn run<T>(
    connection: &mut PgConnection,
    pooled: Option<&Session>,
    call: impl AsyncFnOnce(&mut DbConnection<'_>) -> Result<T, sqlx::Error>,
) -> (Result<T, sqlx::Error>, bool) {
    let Some(session) = pooled else {
        return (call(&mut DbConnection::direct(connection)).await, true);
    };
    if let Err(error) = pooler::begin(connection, session).await {
        return (Err(error), false);
    }
    let done = call(&mut DbConnection::pooled(connection)).await;
    pooler::end(connection, session, done).await
}
