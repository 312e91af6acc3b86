//! The pgmq step of a migration: uses the pgmq that is there, else creates the extension where the
//! server offers it, else installs the SQL that the pgmq crate carries. Then the orchestrators'
//! queues.

use crate::names::{STEP_RESULTS, TASK_REQUESTS};
use pgmq::{PgmqError, install::Version};
use pgtasker_core::{
    Error, Result,
    limited::{self, Lent},
    pooler, schema,
    session::Session,
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgPoolOptions};
use std::fmt;

/// The oldest pgmq that has what the engine calls.
pub const OLDEST_PGMQ: &str = "1.8.0";

/// Tries where another process makes the same things at the same time.
const TRIES: u32 = 5;

/// What the engine calls; decides where no version is recorded.
const NEEDED_FUNCTIONS: &[&str] = &[
    "pgmq.create(text)",
    "pgmq.pop(text,integer)",
    "pgmq.read(text,integer,integer,jsonb)",
    "pgmq.send_batch(text,jsonb[],jsonb[],timestamptz)",
    "pgmq.delete(text,bigint[])",
    "pgmq.set_vt(text,bigint[],integer)",
    "pgmq.metrics_all()",
];

/// What [`migrate`] found and did.
#[derive(Debug)]
pub struct MigrationReport {
    /// Which pgmq is used.
    pub pgmq: Pgmq,
    /// The queues that were missing.
    pub queues_created: Vec<String>,
    /// What was done to the schema `tasker`.
    pub schema: schema::Report,
}

impl fmt::Display for MigrationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.pgmq)?;
        for queue in &self.queues_created {
            writeln!(f, "created queue {queue}")?;
        }
        write!(f, "{}", self.schema)
    }
}

/// Which pgmq is used, and whether this migration brought it. Versions as pgmq states them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pgmq {
    /// The extension was there.
    Extension(String),
    /// SQL-only pgmq was there; `None` if its version is not recorded.
    Sql(Option<String>),
    /// The extension was offered by the server and has been created.
    CreatedExtension(String),
    /// The SQL of the pgmq crate has been installed.
    InstalledSql(String),
}

impl fmt::Display for Pgmq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension(version) => write!(f, "using the extension pgmq {version}"),
            Self::Sql(Some(version)) => write!(f, "using SQL-only pgmq {version}"),
            Self::Sql(None) => {
                f.write_str("using SQL-only pgmq (no version recorded, all functions present)")
            }
            Self::CreatedExtension(version) => write!(f, "created the extension pgmq {version}"),
            Self::InstalledSql(version) => write!(f, "installed SQL-only pgmq {version}"),
        }
    }
}

/// Brings the database up to date: pgmq, the orchestrators' queues, the schema `tasker`.
/// Idempotent, and safe when several processes do it at once. A pgmq that is there and new enough
/// is left as it is.
///
/// # Errors
/// [`Error::Schema`] with what to do: pgmq is older than [`OLDEST_PGMQ`], a right is missing, the
/// schema is newer than this program. [`Error::Database`] for anything else.
pub async fn migrate(pool: &PgPool) -> Result<MigrationReport> {
    let mut tries = 1;
    let (pgmq, queues_created) = loop {
        match install_pgmq(pool).await {
            Err(error) if tries < TRIES && another_was_faster(&error) => tries += 1,
            Err(error) if error.sqlstate().as_deref() == Some("55P03") => {
                let holders = schema::old_transactions(pool).await?;
                return Err(Error::Schema(format!(
                    "{error}: another installer, or an open transaction, blocks this one. \
                     {holders}. End it, or wait for it"
                )));
            }
            done => break done.map_err(with_remedy)?,
        }
    };
    tracing::debug!(%pgmq, ?queues_created, "pgmq is there");
    let schema = schema::migrate(pool).await?;
    let mut queues_created = queues_created;
    queues_created.extend(create_namespaces_queues(pool).await?);
    Ok(MigrationReport { pgmq, queues_created, schema })
}

/// The first step of [`migrate`] alone.
async fn install_pgmq(pool: &PgPool) -> Result<(Pgmq, Vec<String>)> {
    // Read committed whatever the default is: what another process installed must be seen after the
    // lock.
    let mut transaction = Lent::from(pool).await?;
    let session = Session::unlimited();
    pooler::begin(&mut transaction, &session).await?;
    sqlx::query("set local lock_timeout = '10s'")
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    // Held while pgmq is looked for and installed, since several processes may start at once.
    schema::lock(&mut transaction).await?;
    let pgmq = match find(&mut transaction).await? {
        Some(found) => found,
        None => match create_extension(&mut transaction).await? {
            Some(created) => created,
            None => install_sql(pool, &mut transaction).await?,
        },
    };
    sqlx::raw_sql("set local standard_conforming_strings = on").execute(&mut *transaction).await?;
    let queues = create_queues(&mut transaction).await?;
    limited::commit(&mut transaction, session.patience()).await?;
    transaction.give_back();
    Ok((pgmq, queues))
}

/// The pgmq that is there, if it is new enough.
async fn find(connection: &mut PgConnection) -> Result<Option<Pgmq>> {
    let extension: Option<String> =
        sqlx::query_scalar("select extversion from pg_catalog.pg_extension where extname = 'pgmq'")
            .persistent(false)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(version) = extension {
        if new_enough(&version) == Some(false) {
            return Err(too_old(&format!("the extension pgmq {version}"), EXTENSION_REMEDY));
        }
        require_functions(connection, EXTENSION_REMEDY).await?;
        return Ok(Some(Pgmq::Extension(version)));
    }
    let there: bool = sqlx::query_scalar("select to_regclass('pgmq.meta') is not null")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(None);
    }
    let version = recorded_version(connection).await?;
    if let Some(version) = &version
        && new_enough(version) == Some(false)
    {
        return Err(too_old(&format!("SQL-only pgmq {version}"), SQL_REMEDY));
    }
    require_functions(connection, SQL_REMEDY).await?;
    Ok(Some(Pgmq::Sql(version)))
}

/// The newest version in the table that the pgmq crate keeps; absent if pgmq's SQL was run by hand.
async fn recorded_version(connection: &mut PgConnection) -> Result<Option<String>> {
    let readable: bool = sqlx::query_scalar(
        "select coalesce(has_table_privilege(to_regclass('pgmq.__pgmq_migrations'), 'select'), \
         false)",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await?;
    if !readable {
        return Ok(None);
    }
    let versions: Vec<String> = sqlx::query_scalar("select version from pgmq.__pgmq_migrations")
        .persistent(false)
        .fetch_all(connection)
        .await?;
    Ok(newest(&versions).map(|version| version.to_string()))
}

async fn require_functions(connection: &mut PgConnection, remedy: &str) -> Result<()> {
    let missing: Vec<String> = sqlx::query_scalar(
        "select f from unnest($1::text[]) with ordinality as t(f, n) where to_regprocedure(f) is \
         null order by n",
    )
    .persistent(false)
    .bind(NEEDED_FUNCTIONS)
    .fetch_all(connection)
    .await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(too_old(&format!("a pgmq without {}", missing.join(", ")), remedy))
}

/// Creates the extension if the server offers one that is new enough and this role may create it.
async fn create_extension(connection: &mut PgConnection) -> Result<Option<Pgmq>> {
    let offered: Vec<String> = sqlx::query_scalar(
        "select version from pg_catalog.pg_available_extension_versions where name = 'pgmq'",
    )
    .persistent(false)
    .fetch_all(&mut *connection)
    .await?;
    let Some(version) =
        newest(&offered).map(|v| v.to_string()).filter(|v| new_enough(v) == Some(true))
    else {
        return Ok(None);
    };
    sqlx::raw_sql("savepoint create_extension").execute(&mut *connection).await?;
    let create = format!("create extension pgmq version '{version}'");
    match sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await {
        Ok(_) => Ok(Some(Pgmq::CreatedExtension(version))),
        Err(error @ sqlx::Error::Database(_)) => {
            sqlx::raw_sql("rollback to savepoint create_extension")
                .execute(&mut *connection)
                .await?;
            tracing::info!(%error, "the extension pgmq cannot be created here; installing its SQL \
                instead");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Runs the pgmq crate's own installer on a connection of its own, since it commits; the lock is
/// held by `locked` meanwhile.
async fn install_sql(pool: &PgPool, locked: &mut PgConnection) -> Result<Pgmq> {
    let own = PgPoolOptions::new()
        .max_connections(1)
        .connect_with((*pool.connect_options()).clone())
        .await?;
    // Its texts hold backslashes.
    sqlx::raw_sql("set standard_conforming_strings = on").execute(&own).await?;
    let installed = pgmq::install::install_sql_from_embedded(&own).await;
    limited::close_pool(&own, limited::CONNECT).await;
    installed.map_err(|error| match error {
        PgmqError::DatabaseError(error) => error.into(),
        other => Error::Schema(format!("pgmq cannot be installed: {other}")),
    })?;
    let version = recorded_version(locked).await?;
    Ok(Pgmq::InstalledSql(version.unwrap_or_else(|| "of unknown version".to_owned())))
}

/// Creates the queues of namespaces that are missing: a dump of schema `tasker` alone has none.
async fn create_namespaces_queues(pool: &PgPool) -> Result<Vec<String>> {
    let mut transaction = Lent::from(pool).await?;
    let session = Session::unlimited();
    pooler::begin(&mut transaction, &session).await?;
    let created = sqlx::query_scalar(
        "select tasker.create_queues() where has_function_privilege('tasker.create_queues()', \
         'execute')",
    )
    .persistent(false)
    .fetch_all(&mut *transaction)
    .await?;
    limited::commit(&mut transaction, session.patience()).await?;
    transaction.give_back();
    Ok(created)
}

/// Creates those queues of the orchestrators that are missing. Those of the workers come with
/// templates.
async fn create_queues(connection: &mut PgConnection) -> Result<Vec<String>> {
    let mut created = Vec::new();
    for queue in [TASK_REQUESTS, STEP_RESULTS] {
        let there: bool = sqlx::query_scalar("select to_regclass('pgmq.q_' || $1) is not null")
            .persistent(false)
            .bind(queue)
            .fetch_one(&mut *connection)
            .await?;
        if !there {
            sqlx::query("select pgmq.create($1)")
                .persistent(false)
                .bind(queue)
                .execute(&mut *connection)
                .await?;
            created.push(queue.to_owned());
        }
    }
    Ok(created)
}

/// `None` if the version is not three numbers: then its functions decide.
fn new_enough(version: &str) -> Option<bool> {
    let oldest: Version = OLDEST_PGMQ.parse().ok()?;
    version.parse::<Version>().ok().map(|version| version >= oldest)
}

fn newest(versions: &[String]) -> Option<Version> {
    versions.iter().filter_map(|version| version.parse().ok()).max()
}

const EXTENSION_REMEDY: &str = "run \"alter extension pgmq update\" in this database; if the \
    server offers no newer version, install a newer pgmq on the server first";
const SQL_REMEDY: &str = "upgrade it the way it was installed (the pgmq crate's \
    install_sql_from_embedded, or pgmq's \
     update scripts), then run tasker migrate again";

fn too_old(found: &str, remedy: &str) -> Error {
    Error::Schema(format!(
        "this database has {found}, tasker needs pgmq {OLDEST_PGMQ} or newer: {remedy}"
    ))
}

/// Whether another process has just made what this one was about to make.
fn another_was_faster(error: &Error) -> bool {
    error.sqlstate().is_some_and(|code| {
        ["23505", "42P06", "42P07", "42710", "42723", "55P03"].contains(&&*code)
    })
}

/// A missing right gets a hint; anything else stays as it is.
fn with_remedy(error: Error) -> Error {
    match &error {
        Error::Database(sqlx::Error::Database(e)) if e.code().as_deref() == Some("42501") => {
            Error::Schema(format!(
                "pgmq cannot be installed or used by this role ({}): run tasker migrate as the \
                 owner of the database \
                 and of pgmq",
                e.message()
            ))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number_not_by_letter() {
        assert_eq!(new_enough("1.8.0"), Some(true));
        assert_eq!(new_enough("1.13.0"), Some(true));
        assert_eq!(new_enough("1.7.9"), Some(false));
        assert_eq!(new_enough("0.33.0"), Some(false));
        assert_eq!(new_enough("unpackaged"), None);
        let versions = ["1.9.0", "1.13.0", "unpackaged", "1.2.1"].map(str::to_owned);
        assert_eq!(newest(&versions).map(|v| v.to_string()).as_deref(), Some("1.13.0"));
    }

    #[test]
    fn an_old_pgmq_is_refused_with_what_to_do() {
        let message = too_old("the extension pgmq 1.5.0", EXTENSION_REMEDY).to_string();
        assert!(message.contains("1.5.0") && message.contains("1.8.0"), "{message}");
        assert!(message.contains("alter extension pgmq update"), "{message}");
    }

    #[test]
    fn the_report_says_what_was_done() {
        assert_eq!(
            Pgmq::InstalledSql("1.13.0".into()).to_string(),
            "installed SQL-only pgmq 1.13.0"
        );
        assert_eq!(Pgmq::Extension("1.9.0".into()).to_string(), "using the extension pgmq 1.9.0");
    }
}
