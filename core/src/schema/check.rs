//! The check every process makes at its start: one row read, nothing written.

use super::{
    Bundle,
    standing::{Installed, Standing},
};
use crate::{
    Error, Result,
    limited::{self, Lent},
    pooler,
    session::Session,
};
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;

impl Bundle {
    /// Compares the installed schema with this bundle.
    ///
    /// # Errors
    /// [`Error::Schema`] that says to run `tasker migrate` (not installed, or older), to upgrade
    /// tasker (newer), or which right is missing.
    pub async fn check(&self, pool: &PgPool) -> Result<()> {
        let mut transaction = Lent::from(pool).await?;
        let session = Session::default();
        pooler::begin(&mut transaction, &session).await?;
        let judged = timeout(session.patience(), self.judge(&mut transaction)).await;
        if limited::rollback(&mut transaction, limited::PING).await.is_ok() {
            transaction.give_back();
        }
        judged.unwrap_or_else(|_| Err(limited::silent().into()))
    }

    async fn judge(&self, connection: &mut PgConnection) -> Result<()> {
        let installed = match installed(connection).await {
            Err(error) if error.sqlstate().as_deref() == Some("42501") => {
                return Err(Error::Schema(format!(
                    "this database role has no rights in schema tasker ({error}): grant it one of \
                     the roles \
                     tasker_client, tasker_worker, tasker_orchestrator, tasker_consumer, \
                     tasker_operator, tasker_readonly"
                )));
            }
            other => other?,
        };
        let Some(installed) = installed else {
            // Row security may hide the row.
            refuse_problems(connection).await?;
            return Err(Error::Schema(
                "schema tasker is not installed in this database: run `tasker migrate`".to_owned(),
            ));
        };
        match installed.standing(self) {
            Standing::Current => refuse_problems(connection).await,
            Standing::Older => Err(Error::Schema(format!(
                "schema tasker in this database is {}, older than the {} of this program: run \
                 `tasker migrate`",
                installed.describe(),
                self.version()
            ))),
            Standing::Newer => Err(self.too_new(&installed)),
        }
    }

    pub(super) fn too_new(&self, installed: &Installed) -> Error {
        Error::Schema(format!(
            "schema tasker in this database is {}, made by tasker {} and newer than the {} of \
             this program ({}): \
             upgrade tasker",
            installed.describe(),
            installed.tasker_version,
            self.version(),
            self.tasker_version
        ))
    }
}

/// What keeps the installation from working although the schema is the right one: see
/// `tasker.installation_problems`. A missing queue is no problem, since an orchestrator makes it
/// again.
pub(super) async fn refuse_problems(connection: &mut PgConnection) -> Result<()> {
    let callable: bool = sqlx::query_scalar(
        "select coalesce( \
             has_function_privilege( \
                 to_regprocedure('tasker.installation_problems()'), 'execute' \
             ), \
             false \
         )",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await?;
    if !callable {
        return Ok(());
    }
    let problems: Vec<(String, String)> = sqlx::query_as(
        "select problem, remedy from tasker.installation_problems() where code <> 'queue' limit 3",
    )
    .persistent(false)
    .fetch_all(connection)
    .await?;
    let problems: Vec<String> =
        problems.into_iter().map(|(problem, remedy)| format!("{problem}: {remedy}")).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Schema(problems.join("; "))) }
}

/// What `tasker.schema_info` says; none where there is no such table, or no row in it.
pub(super) async fn installed(connection: &mut PgConnection) -> Result<Option<Installed>> {
    let there: bool = sqlx::query_scalar("select to_regclass('tasker.schema_info') is not null")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(None);
    }
    let row: Option<(i32, String, String)> =
        sqlx::query_as("select migration, sql_hash, tasker_version from tasker.schema_info")
            .persistent(false)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|(migration, sql_hash, tasker_version)| Installed {
        migration,
        sql_hash,
        tasker_version,
    }))
}
