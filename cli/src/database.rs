//! Which database a command works on, and connecting to it.

use crate::{
    config::Origin,
    error::{Error, Result},
    globals::Globals,
    progress, trust,
};
use pgtasker_core::{
    db::{self, DbOptions},
    limited,
    pooler::InTransaction,
    schema,
};
use pgtasker_embedded::Embedded;
use sqlx::PgPool;
use std::{fmt, path::Path, time::Duration};

/// The folder of the PostgreSQL that `up`, `demo`, and `bench` start.
pub const FOLDER: &str = ".tasker";
/// How long a command for people tries to reach the database.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long a start waits without a word.
const SILENCE: Duration = Duration::from_secs(2);
/// How long open connections may take to say goodbye at the end of a process.
const FAREWELL: Duration = Duration::from_secs(5);

/// Closes a pool, with a time limit: a connection to a host that is gone never answers.
pub async fn close(pool: &PgPool) {
    if !limited::close_pool(pool, FAREWELL).await {
        tracing::warn!("connections to the database did not close in time: abandoned");
    }
}

/// Warns where the role may do more than a process needs: steps of templates run with its rights.
pub async fn warn_of_rights(pool: &PgPool) {
    let sql = "select r.rolname::text, r.rolsuper from pg_catalog.pg_roles r, \
        pg_catalog.pg_namespace n \
               where r.rolname = current_user and n.nspname = 'tasker' \
                 and (r.rolsuper or pg_catalog.pg_has_role(r.oid, n.nspowner, 'member'))";
    let found = sqlx::query_as::<_, (String, bool)>(sql).fetch_optional(InTransaction(pool)).await;
    if let Ok(Some((role, is_super))) = found {
        let what = if is_super { "is a superuser" } else { "owns schema tasker" };
        tracing::warn!(
            "the database role {role} {what}: everyone who applies templates gets its rights; log \
             in as a role with \
             tasker_worker or tasker_orchestrator only (docs/operating.md)"
        );
    }
}

/// Warns where the API that a process serves can answer next to nothing.
pub async fn warn_of_missing_rights(pool: &PgPool) {
    let sql = "select current_user::text where not pg_catalog.pg_has_role(current_user, \
        'tasker_operator', 'usage')";
    let found = sqlx::query_scalar::<_, String>(sql).fetch_optional(InTransaction(pool)).await;
    if let Ok(Some(role)) = found {
        tracing::warn!(
            "the API works with the rights of the database role {role}, which lacks \
             tasker_operator: most requests will be refused. Grant it: grant tasker_operator to \
             {role}; or serve \
             no API here"
        );
    }
}

/// The database of a command.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// The source of the URL.
    pub source: Source,
}

impl fmt::Debug for Database {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Where a database URL comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An option, a variable, or the configuration file.
    Named(Origin),
    /// The server that another program runs on [`FOLDER`].
    Recorded,
    /// An earlier [`Database::resolve_or_start`].
    Resolved,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(origin) => write!(f, "{origin}"),
            Self::Recorded => write!(f, "{FOLDER}/server.json"),
            Self::Resolved => write!(f, "--database-url, the environment, or {FOLDER}/server.json"),
        }
    }
}

impl Database {
    /// The database that the user named, else the one that `tasker up` runs here.
    ///
    /// # Errors
    /// There is neither.
    pub fn resolve(globals: &Globals) -> Result<Self> {
        if let Some(database) = Self::named(globals) {
            return Ok(database);
        }
        Self::recorded()?.ok_or_else(|| {
            Error::new(format!(
                "no database: DATABASE_URL is not set, and no `tasker up` runs in \
                {FOLDER}"
            ))
            .or_hint(
                "run `tasker up` in this folder, or set DATABASE_URL (or --database-url, \
                    or database.url in tasker.toml) to postgres://user:password@host:port/database",
            )
        })
    }

    /// The database that the user named, else the one that runs here, else a PostgreSQL started
    /// now, which lives as long as the second value.
    ///
    /// # Errors
    /// PostgreSQL cannot be found or started; the error says what to do.
    pub async fn resolve_or_start(globals: &Globals) -> Result<(String, Option<Embedded>)> {
        Self::resolve_or_start_with(globals, &[]).await
    }

    /// As [`Database::resolve_or_start`]; a PostgreSQL that is started gets these settings if it
    /// takes them.
    ///
    /// # Errors
    /// As [`Database::resolve_or_start`].
    pub async fn resolve_or_start_with(
        globals: &Globals,
        settings: &[(&str, &str)],
    ) -> Result<(String, Option<Embedded>)> {
        let database = match Self::named(globals) {
            None => Self::recorded()?,
            named => named,
        };
        if let Some(database) = database {
            return Ok((database.url, None));
        }
        // Its settings name programs that the server runs.
        trust::check(Path::new(FOLDER))?;
        let spinner = progress::spinner("starting PostgreSQL");
        let mut started =
            Embedded::builder().dir(FOLDER).settings(settings.iter().copied()).start().await;
        if let (Err(pgtasker_embedded::Error::Start { .. }), false) =
            (&started, settings.is_empty())
        {
            started = Embedded::builder().dir(FOLDER).start().await;
        }
        spinner.finish_and_clear();
        match started {
            Ok(server) => Ok((server.admin_url(), Some(server))),
            // Started by another program since we looked.
            Err(pgtasker_embedded::Error::AlreadyRunning(server)) => Ok((server.url.clone(), None)),
            Err(error) => Err(error.into()),
        }
    }

    /// The database that the user named.
    pub fn named(globals: &Globals) -> Option<Self> {
        let url = globals.database_url.clone().filter(|url| !url.is_empty())?;
        let origin = globals.database_origin.clone();
        Some(Self { url, source: origin.map_or(Source::Resolved, Source::Named) })
    }

    /// A database already resolved.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), source: Source::Resolved }
    }

    /// That of [`FOLDER`], where nobody else could have written it there.
    fn recorded() -> Result<Option<Self>> {
        let Some(url) = pgtasker_embedded::recorded_url(FOLDER) else { return Ok(None) };
        for path in [Path::new(FOLDER), &Path::new(FOLDER).join("server.json")] {
            trust::check(path)?;
        }
        Ok(Some(Self { url, source: Source::Recorded }))
    }

    /// Connects, with a pool of this size, and tries as long as `patience`. A pooler may be
    /// between.
    ///
    /// # Errors
    /// The URL is wrong, or the database cannot be reached or refuses.
    pub async fn connect(
        &self,
        program: &str,
        connections: u32,
        patience: Duration,
    ) -> Result<PgPool> {
        let options = DbOptions::new(&self.url, program).max_connections(connections).pooled(true);
        self.connect_with(options, patience).await
    }

    /// [`Database::connect`] with these options, of this database's URL.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn connect_with(&self, mut options: DbOptions, patience: Duration) -> Result<PgPool> {
        options.connect_timeout = patience;
        let connect = db::connect(&options);
        tokio::pin!(connect);
        let connected = tokio::select! {
            connected = &mut connect => connected,
            // Who starts a service must not think that it hangs.
            () = tokio::time::sleep(SILENCE) => {
                if patience > SILENCE * 2 {
                    tracing::warn!(
                        "the database ({}) does not answer: trying for {patience:?}",
                        self.source
                    );
                }
                connect.await
            }
        };
        connected.map_err(|error| {
            let unreachable = matches!(error, pgtasker_core::Error::Unreachable { .. });
            let error = Error::from(error);
            match unreachable {
                true => error.or_hint(format!(
                    "the URL comes from {}: is the server running there, and does it accept \
                     connections?",
                    self.source
                )),
                false => error.or_hint(format!("the URL comes from {}", self.source)),
            }
        })
    }

    /// For a command that people wait for: resolves, connects, and checks the schema.
    ///
    /// # Errors
    /// As [`Database::resolve`] and [`Database::connect`]; the schema is missing, older, or newer.
    pub async fn open(globals: &Globals) -> Result<PgPool> {
        let pool = Self::resolve(globals)?.connect("tasker", 2, PATIENCE).await?;
        schema::check(&pool).await?;
        Ok(pool)
    }
}
