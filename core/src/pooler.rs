//! Statements behind a pooler in transaction mode, pgbouncer for instance. It gives out a server connection for one
//! transaction at a time: what is prepared in one is not there in the next, or another client's. A statement is prepared in
//! one round trip and run in another, so that every one needs a transaction around both, and no name.

use crate::call_as;
use futures_util::{
    TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Connection, Database, Describe, Either, Execute, Executor, PgConnection, PgPool, PgTransaction, Postgres,
    SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// Runs each statement in a transaction of its own, unnamed: `list_tasks(InTransaction(&pool), …)` works on any
/// connection, behind a pooler too. It costs three more round trips than the pool itself.
#[derive(Debug, Clone, Copy)]
pub struct InTransaction<'p>(pub &'p PgPool);

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

/// Begins a transaction behind a pooler.
///
/// # Errors
/// The database's.
pub async fn begin(connection: &mut PgConnection) -> Result<PgTransaction<'_>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    forget(&mut transaction).await?;
    call_as::tell(&mut transaction).await?;
    Ok(transaction)
}

/// Makes a connection forget its prepared statements, to be called first in a transaction: the server may be another one,
/// which does not have them.
///
/// # Errors
/// The database's.
pub async fn forget(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    match transaction.cached_statements_size() {
        0 => Ok(()),
        _ => transaction.clear_cached_statements().await,
    }
}

/// Commits, or rolls back what failed.
///
/// # Errors
/// That of `done`, else the commit's.
pub async fn end<T>(transaction: PgTransaction<'_>, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    match done {
        Ok(done) => transaction.commit().await.map(|()| done),
        Err(error) => {
            // Where that fails too, the first error says why.
            if error.as_database_error().is_some() {
                transaction.rollback().await.ok();
            }
            Err(error)
        }
    }
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

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
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

impl<'p> Executor<'p> for InTransaction<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Item, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.0.clone();
        let all = async move {
            let mut connection = pool.acquire().await?;
            let mut transaction = begin(&mut connection).await?;
            let items = transaction.fetch_many(Named(query, false)).try_collect::<Vec<Item>>().await;
            end(transaction, items).await
        };
        let items = stream::once(all).map_ok(|items| stream::iter(items.into_iter().map(Ok)));
        Box::pin(items.try_flatten())
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.0.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let mut transaction = begin(&mut connection).await?;
            let row = transaction.fetch_optional(Named(query, false)).await;
            end(transaction, row).await
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
        let pool = self.0.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let mut transaction = begin(&mut connection).await?;
            let statement = transaction.prepare_with(sql, parameters).await;
            end(transaction, statement).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        let pool = self.0.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let mut transaction = begin(&mut connection).await?;
            let description = transaction.describe(sql).await;
            end(transaction, description).await
        })
    }
}
