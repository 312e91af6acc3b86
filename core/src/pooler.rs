//! Statements behind a pooler in transaction mode, pgbouncer for instance. It gives out a server
//! connection for one transaction at a time: what is prepared in one is not there in the next, or
//! another client's. A statement is prepared in one round trip and run in another, so that every
//! one needs a transaction around both, and no name.

use crate::{
    call_as,
    limited::{self, Lent, PING},
    session::Session,
};
use futures_util::{
    TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Connection, Database, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres,
    SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::time::Duration;

/// Runs each statement in a transaction of its own, unnamed.
/// `list_tasks(InTransaction(&pool), …)` works on any connection, behind a pooler too. It costs
/// three more round trips than the pool itself. Its limits are those of [`Session::default`].
#[derive(Debug, Clone, Copy)]
pub struct InTransaction<'p>(pub &'p PgPool);

/// [`InTransaction`] with limits of its own.
#[derive(Debug, Clone, Copy)]
pub struct Limited<'p> {
    /// Lends the connections.
    pub pool: &'p PgPool,
    /// The limits.
    pub session: Session,
}

impl<'p> From<&'p PgPool> for Limited<'p> {
    fn from(pool: &'p PgPool) -> Self {
        Self { pool, session: Session::default() }
    }
}

impl<'p> From<InTransaction<'p>> for Limited<'p> {
    fn from(InTransaction(pool): InTransaction<'p>) -> Self {
        pool.into()
    }
}

/// What the answer may take longer than its statement.
const MARGIN: Duration = Duration::from_secs(5);

impl Session {
    /// How long a caller waits for the answer to a statement.
    pub fn patience(&self) -> Duration {
        match self.statement_limit() {
            Duration::ZERO => Duration::from_secs(365 * 86_400),
            limit => limit + MARGIN,
        }
    }
}

/// The connection that a call of [`crate::connection::OwnConnection`] runs its statements on.
#[derive(Debug)]
pub struct DbConnection<'a> {
    inner: &'a mut PgConnection,
    named: bool,
}

impl<'a> DbConnection<'a> {
    /// One that keeps its prepared statements.
    pub fn direct(inner: &'a mut PgConnection) -> Self {
        Self { inner, named: true }
    }

    /// One within a transaction behind a pooler.
    pub fn pooled(transaction: &'a mut PgConnection) -> Self {
        Self { inner: transaction, named: false }
    }
}

/// Begins a transaction behind a pooler. After an error the connection has to be closed.
///
/// # Errors
/// The database's, or no answer in time.
pub async fn begin(connection: &mut PgConnection, session: &Session) -> Result<(), sqlx::Error> {
    // A pooler answers only once it has a server connection to spare.
    let limit = session.patience();
    limited::begin(connection, session.begin(), limit).await?;
    limited::within(limit, forget(connection)).await?;
    limited::within(limit, call_as::tell(connection)).await
}

/// Makes a connection forget its prepared statements, to be called first in a transaction: the
/// server may be another one, which does not have them.
///
/// # Errors
/// The database's.
pub async fn forget(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    match transaction.cached_statements_size() {
        0 => Ok(()),
        _ => transaction.clear_cached_statements().await,
    }
}

/// Commits, or rolls back what failed; and says whether the connection can be used again.
pub async fn end<T>(
    connection: &mut PgConnection,
    session: &Session,
    done: Result<T, sqlx::Error>,
) -> (Result<T, sqlx::Error>, bool) {
    match done {
        Ok(done) => {
            let committed = limited::commit(connection, session.patience()).await;
            let clean = committed.is_ok();
            (committed.map(|()| done), clean)
        }
        // Where the rollback fails too, the first error says why.
        Err(error) => {
            let clean = error.as_database_error().is_some()
                && limited::rollback(connection, PING).await.is_ok();
            (Err(error), clean)
        }
    }
}

/// One call in a transaction of its own, on a connection of the pool.
async fn run<T>(
    Limited { pool, session }: Limited<'_>,
    call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let mut connection = Lent::from(pool).await?;
    begin(&mut connection, &session).await?;
    let done = limited::within(session.patience(), call(&mut connection)).await;
    let (done, clean) = end(&mut connection, &session, done).await;
    if clean {
        connection.give_back();
    }
    done
}

/// A query that is prepared under a name, and kept, only if it may be.
struct Named<E>(E, bool);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Named<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.1 && self.0.persistent()
    }
}

type Item = Either<PgQueryResult, PgRow>;

impl<'c> Executor<'c> for &'c mut DbConnection<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Item, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        (&mut *self.inner).fetch_many(Named(query, self.named))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        (&mut *self.inner).fetch_optional(Named(query, self.named))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<<Postgres as Database>::Statement, sqlx::Error>>
    where
        'c: 'e,
    {
        (&mut *self.inner).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        (&mut *self.inner).describe(sql)
    }
}

/// `(pool, session)` of what runs statements one by one.
macro_rules! executor {
    ($name:ident, $this:ident => $limits:expr) => {
        impl<'p> Executor<'p> for $name<'_> {
            type Database = Postgres;

            fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Item, sqlx::Error>>
            where
                'p: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let $this = self;
                let (pool, session) = $limits;
                let all = async move {
                    run(Limited { pool: &pool, session }, async |connection| {
                        connection.fetch_many(Named(query, false)).try_collect::<Vec<Item>>().await
                    })
                    .await
                };
                let items =
                    stream::once(all).map_ok(|items| stream::iter(items.into_iter().map(Ok)));
                Box::pin(items.try_flatten())
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
            where
                'p: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let $this = self;
                let (pool, session) = $limits;
                Box::pin(async move {
                    run(Limited { pool: &pool, session }, async |connection| {
                        connection.fetch_optional(Named(query, false)).await
                    })
                    .await
                })
            }

            /// The statement is known by its text only, so that it can be run anywhere.
            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [PgTypeInfo],
            ) -> BoxFuture<'e, Result<<Postgres as Database>::Statement, sqlx::Error>>
            where
                'p: 'e,
            {
                let $this = self;
                let (pool, session) = $limits;
                Box::pin(async move {
                    run(Limited { pool: &pool, session }, async |connection| {
                        connection.prepare_with(sql, parameters).await
                    })
                    .await
                })
            }

            fn describe<'e>(
                self,
                sql: SqlStr,
            ) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
            where
                'p: 'e,
            {
                let $this = self;
                let (pool, session) = $limits;
                Box::pin(async move {
                    run(Limited { pool: &pool, session }, async |connection| {
                        connection.describe(sql).await
                    })
                    .await
                })
            }
        }
    };
}

executor!(InTransaction, this => (this.0.clone(), Session::default()));
executor!(Limited, this => (this.pool.clone(), this.session));
