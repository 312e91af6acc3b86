//! Installing: everything in one transaction under one lock, so that any number of processes may
//! start at once and a failure leaves the database as it was.

use super::{
    BOOTSTRAP, Bundle, DROP, Migration, Object, RECORD, SESSION, UNCHECKED, VALIDATE, check, lock,
    standing::Standing,
};
use crate::{
    Error, Result,
    error::is_transient,
    limited::{self, Lent},
    pooler,
    session::Session,
};
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, PgConnection, PgPool,
    postgres::{PgDatabaseError, PgErrorPosition},
};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Tries when the running engine and the installer wait for each other's locks.
const TRIES: u32 = 5;
const NO_RIGHT: &str = "42501";
const DEADLOCK: &str = "40P01";
const LOCKED: &str = "55P03";
/// What a concurrent creator of the same schema or table leaves behind.
const NAME_TAKEN: &str = "23505";
const SCHEMA_THERE: &str = "42P06";
const TABLE_THERE: &str = "42P07";
const AS_OWNER: &str = "Run tasker migrate as the role that owns schema tasker, or as a superuser";

/// What an installation did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The migrations applied now, such as `0001_settings_and_namespaces`.
    pub migrations: Vec<String>,
    /// How many functions, views, and triggers (files of `sql/`) were created again; 0: none had
    /// changed.
    pub objects: usize,
    /// The schema that is installed now, such as `1 (sql 3f2a9c1d)`.
    pub version: String,
    /// Roles of Tasker that the cluster lacks, since nobody who may create roles has migrated:
    /// nobody can be granted them. Create them with [`Report::create_roles`], then migrate again.
    pub missing_roles: Vec<String>,
}

impl Report {
    /// Whether there was nothing to do.
    pub fn up_to_date(&self) -> bool {
        self.migrations.is_empty() && self.objects == 0
    }

    /// The statements that create what is missing, one a role.
    pub fn create_roles(&self) -> Vec<String> {
        self.missing_roles.iter().map(|role| format!("create role {role} nologin;")).collect()
    }

    /// What to do about roles that are missing; none: all are there.
    pub fn warning(&self) -> Option<String> {
        if self.missing_roles.is_empty() {
            return None;
        }
        Some(format!(
            "warning: roles of Tasker are missing, and this login may not create or grant them. \
             As one with \
             CREATEROLE run:\n{}\nand then tasker migrate again as the owner of schema tasker, \
             which grants \
             them their rights",
            self.create_roles().join("\n")
        ))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { migrations, objects, version, .. } = self;
        if self.up_to_date() {
            write!(f, "schema tasker is up to date: {version}")?;
        } else {
            for migration in migrations {
                writeln!(f, "applied migration {migration}")?;
            }
            writeln!(f, "created the functions, views, and triggers of {objects} files")?;
            write!(f, "schema tasker is now {version}")?;
        }
        self.warning().map_or(Ok(()), |warning| write!(f, "\n{warning}"))
    }
}

impl Bundle {
    /// Installs what is missing or has changed. Idempotent; several processes may do it at once.
    ///
    /// # Errors
    /// [`Error::Schema`]: PostgreSQL is older than 15, pgmq is not there, the schema is newer than
    /// this program, an applied migration was changed, something outside schema `tasker` depends on
    /// what has to be replaced, or a statement failed (with its file and line). Nothing was changed
    /// then.
    pub async fn migrate(&self, pool: &PgPool) -> Result<Report> {
        self.migrate_within(pool, lock::PATIENCE).await
    }

    /// The same; waits for another installer no longer than `patience`.
    ///
    /// # Errors
    /// As [`Bundle::migrate`].
    pub async fn migrate_within(&self, pool: &PgPool, patience: Duration) -> Result<Report> {
        let mut tries = 1;
        loop {
            let result = self.try_migrate(pool, patience).await;
            let sqlstate = result.as_ref().err().and_then(Error::sqlstate);
            match (sqlstate.as_deref(), result) {
                (Some(DEADLOCK | NAME_TAKEN | SCHEMA_THERE | TABLE_THERE), Err(error))
                    if tries < TRIES =>
                {
                    tracing::info!(tries, %error, "another process was faster, or waited for the \
                        installer: trying again");
                    tries += 1;
                }
                (Some(LOCKED), Err(error)) => {
                    let holders = lock::old_transactions(pool).await?;
                    if tries == TRIES {
                        return Err(Error::Schema(format!(
                            "{error}: tables of Tasker are held by a transaction that stays open. \
                             {holders}. End it, or wait for it"
                        )));
                    }
                    tracing::warn!(tries, %holders, "a transaction that stays open holds tables \
                        of Tasker: trying again");
                    tries += 1;
                }
                (_, Err(Error::Database(error))) if code(&error) == NO_RIGHT => {
                    return Err(Error::Schema(format!("{error}. {AS_OWNER}")));
                }
                (_, other) => return other,
            }
        }
    }

    async fn try_migrate(&self, pool: &PgPool, patience: Duration) -> Result<Report> {
        // Read committed whatever the default is: what another installer committed must be seen
        // after the lock.
        let mut transaction = Lent::from(pool).await?;
        let session = Session::unlimited();
        pooler::begin(&mut transaction, &session).await?;
        run(&mut transaction, SESSION, "").await?;
        lock::lock_within(&mut transaction, patience).await?;
        run(&mut transaction, BOOTSTRAP, "").await?;
        let mut report = self.install(&mut transaction).await?;
        // The script that creates them raises a notice only, which no program shows.
        report.missing_roles = self.missing_roles(&mut transaction).await?;
        check::refuse_problems(&mut transaction).await?;
        limited::commit(&mut transaction, session.patience()).await?;
        transaction.give_back();
        Ok(report)
    }

    async fn install(&self, connection: &mut PgConnection) -> Result<Report> {
        let installed = check::installed(connection).await?;
        let standing =
            installed.as_ref().map_or(Standing::Older, |installed| installed.standing(self));
        // First, so that a database with the tables of another line of migrations, of which there
        // may be more, is not called newer.
        let pending = self.pending(connection).await?;
        if let (Standing::Newer, Some(installed)) = (standing, &installed) {
            return Err(self.too_new(installed));
        }
        let version = self.version();
        if standing == Standing::Current && pending.is_empty() {
            self.run_last_again(connection).await?;
            return Ok(Report { version, ..Report::default() });
        }
        // Before the migrations: a view would hinder a change to its tables.
        run(connection, DROP, "").await?;
        for migration in &pending {
            apply(connection, migration).await?;
        }
        run(connection, UNCHECKED, "").await?;
        for object in &self.objects {
            run_object(connection, object).await?;
        }
        run(connection, VALIDATE, "").await?;
        self.run_last(connection).await?;
        self.record(connection).await?;
        Ok(Report {
            migrations: pending.iter().map(|migration| migration.name.clone()).collect(),
            objects: self.objects.len(),
            version,
            missing_roles: Vec::new(),
        })
    }

    /// The migrations not applied yet, after a look at those that are.
    async fn pending(&self, connection: &mut PgConnection) -> Result<Vec<&Migration>> {
        let applied: Vec<(i32, String)> =
            sqlx::query_as("select version, checksum from tasker.schema_migrations")
                .persistent(false)
                .fetch_all(connection)
                .await?;
        let applied: BTreeMap<i32, String> = applied.into_iter().collect();
        let mut pending = Vec::new();
        for migration in &self.migrations {
            match applied.get(&migration.version) {
                None => pending.push(migration),
                Some(checksum) if *checksum == migration.checksum => {}
                Some(checksum) => {
                    return Err(Error::Schema(format!(
                        "migration {} was applied to this database with other content \
                         ({checksum}, here {}). Its tables cannot be brought up to date: use the \
                         program that made them, or begin with an empty database (before \
                         0.1.0 is released, migrations may change)",
                        migration.name, migration.checksum
                    )));
                }
            }
        }
        Ok(pending)
    }

    /// Rows may be missing, and roles be missing or new: the schema's owner repeats it.
    async fn run_last_again(&self, connection: &mut PgConnection) -> Result<()> {
        let owner: bool = sqlx::query_scalar(
            "select pg_catalog.pg_has_role(nspowner, 'usage') from pg_catalog.pg_namespace where \
             nspname = 'tasker'",
        )
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
        if owner {
            self.run_last(connection).await?;
        }
        Ok(())
    }

    async fn run_last(&self, connection: &mut PgConnection) -> Result<()> {
        run(connection, &self.heads.sql(), "").await?;
        for object in &self.last {
            run_object(connection, object).await?;
        }
        Ok(())
    }

    async fn record(&self, connection: &mut PgConnection) -> Result<()> {
        sqlx::query(
            "insert into tasker.schema_info as i (migration, sql_hash, tasker_version) values \
             ($1, $2, $3)
             on conflict (singleton) do update
                set migration = excluded.migration, sql_hash = excluded.sql_hash,
                    tasker_version = excluded.tasker_version, installed_at = excluded.installed_at",
        )
        .persistent(false)
        .bind(self.migration())
        .bind(&self.sql_hash)
        .bind(&self.tasker_version)
        .execute(&mut *connection)
        .await?;
        run(connection, RECORD, "").await
    }
}

async fn apply(connection: &mut PgConnection, migration: &Migration) -> Result<()> {
    run(connection, &migration.sql, &format!("migrations/{}.sql", migration.name)).await?;
    sqlx::query(
        "insert into tasker.schema_migrations (version, name, checksum) values ($1, $2, $3)",
    )
    .persistent(false)
    .bind(migration.version)
    .bind(&migration.name)
    .bind(&migration.checksum)
    .execute(connection)
    .await?;
    Ok(())
}

async fn run_object(connection: &mut PgConnection, object: &Object) -> Result<()> {
    run(connection, &object.sql, &format!("sql/{}", object.path)).await
}

/// Runs a file of statements; an error names the file and the line.
async fn run(connection: &mut PgConnection, sql: &str, file: &str) -> Result<()> {
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(error, sql, file)),
    }
}

fn explain(error: sqlx::Error, sql: &str, file: &str) -> Error {
    let Some(db) = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>())
    else {
        return error.into();
    };
    if is_transient(&error) {
        return error.into();
    }
    let mut message = String::new();
    if !file.is_empty() {
        message.push_str(file);
        if let Some(PgErrorPosition::Original(position)) = db.position() {
            let line =
                1 + sql.chars().take(position.saturating_sub(1)).filter(|c| *c == '\n').count();
            message.push_str(&format!(":{line}"));
        }
        message.push_str(": ");
    }
    message.push_str(db.message());
    for more in [db.detail(), db.hint()].into_iter().flatten() {
        message.push_str(". ");
        message.push_str(more.trim_end_matches('.'));
    }
    if db.code() == NO_RIGHT {
        message.push_str(". ");
        message.push_str(AS_OWNER);
    }
    Error::Schema(message)
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned()
}
