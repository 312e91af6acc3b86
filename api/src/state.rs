//! What every handler has: the client, and whether it may be asked now.

use crate::{
    access::Caller,
    places::Places,
    problem::{Problem, Result},
    settings::ApiSettings,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use futures_util::future::Either;
use pgtasker_client::DatabaseClient;
use pgtasker_core::{
    breaker::Breaker,
    call_as::{CallAs, call_as},
    db::{self, DbOptions},
    hosts,
    session::Session,
};
use sqlx::PgPool;
use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long a connection may take that nobody else uses: longer, and the database is as good as
/// away.
const ACQUIRE: Duration = Duration::from_millis(750);
/// How long a request waits for a lock.
const LOCK: Duration = Duration::from_secs(2);
/// What the database gets less than the request has, so that its answer arrives.
const MARGIN: Duration = Duration::from_millis(250);

/// Checks of templates at a time.
const CHECKS: usize = 2;

/// Shared by all requests; clones share. A handler takes it as an argument, with its caller: the
/// database attributes its calls, and those of a stream, to that caller.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
    caller: Arc<CallAs>,
}

#[derive(Debug)]
struct Inner {
    client: DatabaseClient,
    breaker: Breaker,
    timeout: Duration,
    /// As many as there are connections: a request that waited in the pool would be told that the
    /// database is away.
    turns: Semaphore,
    /// Checks of templates, each of which keeps a processor busy: limited, so that other requests
    /// do not wait for them.
    checks: Semaphore,
    /// The connections for requests that may wait for a lock.
    changes: Places,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl App {
    /// With connections of its own to the database of `pool`.
    pub fn new(
        pool: &PgPool,
        breaker: Breaker,
        settings: &ApiSettings,
        shutdown: CancellationToken,
    ) -> Self {
        let inner = Inner {
            client: DatabaseClient::new(own_pool(pool, settings)).session(session(settings)),
            breaker,
            timeout: settings.request_timeout,
            turns: Semaphore::new(usize::try_from(settings.connections).unwrap_or(usize::MAX)),
            checks: Semaphore::new(CHECKS),
            changes: Places::new(
                usize::try_from(settings.connections.div_ceil(2)).unwrap_or(usize::MAX),
            ),
            streams: Arc::new(Semaphore::new(settings.max_streams)),
            shutdown,
        };
        // Until a request says who asks, nobody does.
        Self { inner: Arc::new(inner), caller: Arc::new(nobody()) }
    }

    /// The client; call it through [`App::call`].
    pub fn client(&self) -> &DatabaseClient {
        &self.inner.client
    }

    /// Whether the database answers.
    pub fn breaker(&self) -> &Breaker {
        &self.inner.breaker
    }

    /// Cancelled when the server stops.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.inner.shutdown
    }

    /// A place for one more stream of events.
    pub fn stream_place(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.streams).try_acquire_owned().map_err(|_| {
            Problem::unavailable(
                "too_many_streams",
                "There are too many event streams",
                Duration::from_secs(5),
            )
        })
    }

    /// One call, when it is its turn, unless the database is away: then a problem at once. It is
    /// left when the circuit opens, and when the time is over.
    pub async fn call<T>(
        &self,
        call: impl Future<Output = pgtasker_client::Result<T>>,
    ) -> Result<T> {
        let breaker = self.breaker();
        if !breaker.look().0 {
            return Err(Problem::database_away());
        }
        let call = pin!(self.in_turn(call));
        let opened = pin!(breaker.opened());
        match futures_util::future::select(call, opened).await {
            Either::Left((result, _)) => self.judge(result?),
            Either::Right(_) => Err(Problem::database_away()),
        }
    }

    /// [`App::call`] for a check of a template: few at a time, so that other requests find
    /// connections.
    pub async fn check<T>(
        &self,
        call: impl Future<Output = pgtasker_client::Result<T>>,
    ) -> Result<T> {
        let Ok(_turn) = timeout(self.inner.timeout / 2, self.inner.checks.acquire()).await else {
            return Err(Problem::overloaded());
        };
        self.call(call).await
    }

    /// [`App::call`] for a change of `what`, which may have to wait for another transaction, see
    /// [`crate::places`].
    pub async fn change<T>(
        &self,
        what: impl Into<Option<String>>,
        call: impl Future<Output = pgtasker_client::Result<T>>,
    ) -> Result<T> {
        let limit = LOCK.min(self.inner.timeout / 2);
        let Some(_place) = self.inner.changes.take(what.into(), limit).await else {
            return Err(Problem::busy());
        };
        self.call(call).await
    }

    async fn in_turn<T>(
        &self,
        call: impl Future<Output = pgtasker_client::Result<T>>,
    ) -> Result<pgtasker_client::Result<T>> {
        let Ok(_turn) = timeout(self.inner.timeout / 2, self.inner.turns.acquire()).await else {
            return Err(Problem::overloaded());
        };
        let call = call_as(Arc::clone(&self.caller), call);
        timeout(self.inner.timeout, call).await.map_err(|_| Problem::timed_out())
    }

    /// Tells the breaker, and turns an error into a problem.
    fn judge<T>(&self, result: pgtasker_client::Result<T>) -> Result<T> {
        match result {
            Err(pgtasker_client::Error::Database(pgtasker_core::Error::Database(error))) => {
                let failed: Result<T, sqlx::Error> = Err(error);
                self.breaker().record(&failed);
                failed.map_err(|error| pgtasker_client::Error::Database(error.into()).into())
            }
            Err(error) => Err(error.into()),
            Ok(answer) => {
                self.breaker().record(&Ok(()));
                Ok(answer)
            }
        }
    }
}

fn nobody() -> CallAs {
    CallAs { namespaces: Some(Arc::new([])), by: None }
}

impl FromRequestParts<Self> for App {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Self,
    ) -> std::result::Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>().map_or_else(nobody, |caller| CallAs {
            namespaces: caller.namespaces.clone(),
            by: caller.name.clone(),
        });
        Ok(Self { inner: Arc::clone(&app.inner), caller: Arc::new(caller) })
    }
}

/// What requests are limited to: one that waits for a lock, a key that an open transaction holds
/// for instance, must not keep a connection from the others for as long as it may take.
fn session(settings: &ApiSettings) -> Session {
    let limit = settings.request_timeout.saturating_sub(MARGIN).max(MARGIN);
    Session::default().statement(limit).lock(LOCK.min(limit / 2))
}

/// A small pool, so that requests cannot take the connections of what does the work.
fn own_pool(pool: &PgPool, settings: &ApiSettings) -> PgPool {
    let options = DbOptions {
        max_connections: settings.connections,
        connect_timeout: ACQUIRE,
        session: session(settings),
        pooled: settings.poll_only,
        ..DbOptions::new("", "tasker-api")
    };
    // A request is not repeated for a connection that died while nobody used it.
    let pool_options = db::pool_options(&options).test_before_acquire(true);
    let connect = (*pool.connect_options()).clone();
    // On a shared connection the name would be set for others too.
    let connect = if settings.poll_only { connect } else { connect.application_name("tasker-api") };
    let own = pool_options.connect_lazy_with(connect);
    hosts::follow(&own);
    own
}
