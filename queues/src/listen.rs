//! The one LISTEN connection of a process: opens it, tests it, wakes waiters, opens it again. A
//! test notification is sent through another connection, or a pooler could hand it back by luck.

use crate::shared::Shared;
use pgtasker_core::{
    Result,
    breaker::Breaker,
    db::Delays,
    error::{is_outage, is_transient},
    limited,
    pooler::InTransaction,
    session::Session,
};
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long a test notification may take.
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// A connection that was silent for this long is tested: TCP does not tell that the other end is
/// gone.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Pause after a test failed on a new connection. Likely a pooler is between, and each LISTEN
/// through one disturbs the next client of the same server connection.
const PAUSE_AFTER_SILENCE: Duration = Duration::from_secs(60);
/// For opening the connection; the waiters poll meanwhile.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Listener {
    /// Where test notifications are sent through, and whose options the LISTEN connection has.
    pool: PgPool,
    breaker: Breaker,
    probe_channel: String,
    shared: Arc<Shared>,
    delays: Delays,
    connection: Option<Own>,
    /// Whether the present failure stands in the log.
    complained: bool,
}

/// A listener on a pool of its own, whose end waits for nothing: sqlx's waits for an answer,
/// without end if the connection is silent.
struct Own {
    listener: Option<PgListener>,
    pool: PgPool,
}

impl Own {
    fn listener(&mut self) -> sqlx::Result<&mut PgListener> {
        self.listener.as_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        limited::leave(&self.pool);
        // sqlx leaves the waiting to a task of the runtime that it finds: to one that ends at once.
        if let Ok(nowhere) = Builder::new_current_thread().build() {
            let entered = nowhere.enter();
            drop(self.listener.take());
            drop(entered);
            nowhere.shutdown_background();
        }
    }
}

/// What a test notification showed.
enum Probe {
    Heard,
    Silent,
    /// It could not be sent in time: nothing is known.
    NotSent,
}

impl Listener {
    pub(crate) fn new(pool: &PgPool, breaker: Breaker, shared: Arc<Shared>) -> Self {
        Self {
            pool: pool.clone(),
            breaker,
            probe_channel: format!("tasker_push_test_{}", uuid::Uuid::now_v7().simple()),
            shared,
            delays: Delays::new(Duration::from_millis(100), Duration::from_secs(10)),
            connection: None,
            complained: false,
        }
    }

    /// The first try and test. A transient failure is left to [`Listener::run`].
    pub(crate) async fn first(&mut self) -> Result<()> {
        match self.open().await {
            Err(error) if !is_transient(&error) => Err(error.into()),
            Err(error) => {
                self.lost(Some(&error));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Keeps listening until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.listen_for_ever()).await;
        self.shared.set_alive(false);
        self.shared.wake_all();
    }

    async fn listen_for_ever(&mut self) {
        loop {
            let (ended, pause) = match self.connection.take() {
                Some(mut connection) => (self.hear(&mut connection).await, None),
                None => {
                    self.breaker.closed().await;
                    (self.open().await, Some(PAUSE_AFTER_SILENCE))
                }
            };
            if let Err(error) = &ended
                && is_outage(error)
            {
                // The first to know, in an idle process.
                self.breaker.record(&ended);
            }
            if self.connection.is_none() {
                self.lost(ended.as_ref().err());
                let delay = self.delays.next();
                sleep(if ended.is_ok() { pause.unwrap_or(delay) } else { delay }).await;
            }
        }
    }

    /// Connects and tests; only then listens to the queues, and wakes everyone, since what was sent
    /// meanwhile was missed. Without an error and a connection: connected, but nothing arrives.
    async fn open(&mut self) -> Result<(), sqlx::Error> {
        // A pool of its own each time: dropping a listener whose server is gone blocks its pool's
        // only slot until TCP gives up.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(CONNECT_TIMEOUT)
            .acquire_slow_threshold(CONNECT_TIMEOUT)
            .after_connect(|connection, _| Box::pin(Session::default().prepare(connection)))
            .connect_lazy_with((*self.pool.connect_options()).clone());
        let listener = limited::within(CONNECT_TIMEOUT, PgListener::connect_with(&own)).await?;
        let mut connection = Own { listener: Some(listener), pool: own };
        let listener = connection.listener()?;
        listener.eager_reconnect(false);
        limited::within(PROBE_WAIT, listener.listen(&self.probe_channel)).await?;
        match self.probe(listener).await? {
            Probe::Silent => return Ok(()),
            Probe::NotSent => return Err(sqlx::Error::PoolTimedOut),
            Probe::Heard => {}
        }
        let listener = connection.listener()?;
        limited::within(CONNECT_TIMEOUT, listener.listen_all(self.shared.channels())).await?;
        self.connection = Some(connection);
        self.complained = false;
        self.delays.reset();
        self.shared.set_alive(true);
        self.shared.wake_all();
        tracing::info!("push is alive: woken by notifications");
        Ok(())
    }

    /// Wakes waiters until the connection is lost (an error) or no longer delivers.
    async fn hear(&self, connection: &mut Own) -> Result<(), sqlx::Error> {
        let connection = connection.listener()?;
        loop {
            match timeout(PROBE_EVERY, next(connection)).await {
                Ok(channel) => self.shared.wake(&channel?),
                Err(_) => {
                    if let Probe::Silent = self.probe(connection).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Sends a notification to itself and waits for it; other notifications wake their waiters
    /// meanwhile.
    async fn probe(&self, connection: &mut PgListener) -> Result<Probe, sqlx::Error> {
        let sent = AtomicBool::new(false);
        let send = async {
            while let Err(error) = notify(&self.pool, &self.probe_channel).await {
                tracing::debug!(%error, "cannot send a test notification yet");
                // The sender got the notification itself: a pooler shares out the listening
                // connection.
                sent.fetch_or(matches!(error, sqlx::Error::Protocol(_)), Ordering::Relaxed);
                // After a restart of the server each pooled connection fails once.
                sleep(Duration::from_millis(100)).await;
            }
            sent.store(true, Ordering::Relaxed);
            Ok::<_, sqlx::Error>(())
        };
        let hear = async {
            loop {
                let channel = next(connection).await?;
                if channel == self.probe_channel {
                    return Ok(());
                }
                self.shared.wake(&channel);
            }
        };
        match timeout(PROBE_WAIT, async { tokio::try_join!(send, hear) }).await {
            Ok(both) => both.map(|_| Probe::Heard),
            Err(_) if sent.load(Ordering::Relaxed) => Ok(Probe::Silent),
            Err(_) => Ok(Probe::NotSent),
        }
    }

    /// Cuts all waits short and says why, once until push is alive again.
    fn lost(&mut self, error: Option<&sqlx::Error>) {
        self.shared.set_alive(false);
        self.shared.wake_all();
        if std::mem::replace(&mut self.complained, true) {
            return;
        }
        match error {
            Some(sqlx::Error::PoolTimedOut) => {
                tracing::warn!(
                    "push is dead: no connection in time; polling, and trying to listen again"
                );
            }
            Some(error) => {
                tracing::warn!(%error, "push is dead: polling, and trying to listen again")
            }
            None => tracing::warn!(
                "push is dead: a test notification did not arrive; polling instead. Behind a \
                 pooler in transaction mode, use --poll-only, or connect to PostgreSQL \
                 directly"
            ),
        }
    }
}

async fn notify(pool: &PgPool, channel: &str) -> Result<(), sqlx::Error> {
    let notify = sqlx::query("select pg_notify($1, '')").bind(channel);
    notify.execute(InTransaction(pool)).await.map(|_| ())
}

/// The channel of the next notification. May be cancelled without losing one.
async fn next(connection: &mut PgListener) -> Result<String, sqlx::Error> {
    match connection.try_recv().await? {
        Some(notification) => Ok(notification.channel().to_owned()),
        None => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::ConnectionAborted,
            "the server closed the LISTEN connection",
        ))),
    }
}
