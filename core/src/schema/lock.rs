//! One installer at a time: by the unique name of the schema at the first installation, by the row
//! of schema_info after it. An advisory lock would be one that anybody may take.

use crate::{
    Error, Result,
    limited::{self, Lent, PING},
};
use sqlx::{PgConnection, PgPool};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long an installer waits for another.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const ROUND: Duration = Duration::from_millis(200);

/// The same, for the script.
pub(super) const BY_ROW: &str = "do $$ begin
    if to_regclass('tasker.schema_info') is not null then
        perform 1 from tasker.schema_info i for update;
    end if;
end $$;";

/// A schema that somebody has made for us stays as it is. The name of the type is taken until this
/// transaction ends: a concurrent installer waits for it, and then finds none.
const MAKE: &str = "do $$ begin
    if pg_catalog.to_regnamespace('tasker') is null then
        create schema tasker;
    end if;
    create type tasker.installing as ();
    drop type tasker.installing;
end $$";

/// Those who hold the row of schema_info: every lock of a row is one of its table.
const HOLDERS: &str = "select pg_catalog.format('process %s (%s, %s, in its transaction since \
    %s)', a.pid,
           coalesce(nullif(a.application_name, ''), 'no application_name'), coalesce(a.state, \
           'state unknown'), a.xact_start)
      from pg_catalog.pg_locks l
      join pg_catalog.pg_stat_activity a on a.pid = l.pid
     where l.relation = pg_catalog.to_regclass('tasker.schema_info') and l.mode <> 'AccessShareLock'
       and l.granted and l.pid <> pg_catalog.pg_backend_pid()";

/// Those whose transaction is older than the lock_timeout of an installer: one of them holds what
/// it waited for.
const OLD_TRANSACTIONS: &str = "select pg_catalog.format('process %s (%s, %s, in its transaction \
    since %s)', a.pid,
           coalesce(nullif(a.application_name, ''), 'no application_name'), coalesce(a.state, \
           'state unknown'), a.xact_start)
      from pg_catalog.pg_stat_activity a
     where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid()
       and a.xact_start < pg_catalog.clock_timestamp() - interval '9 s'";

/// Makes this transaction, which is read committed, the only installer of the database until its
/// end. Says who holds it up, and gives up after a minute.
///
/// # Errors
/// [`Error::Schema`]: another installer is still at it. [`Error::Database`]: one has just made the
/// schema; try again.
pub async fn lock(connection: &mut PgConnection) -> Result<()> {
    lock_within(connection, PATIENCE).await
}

/// The same with a limit of its own.
pub(super) async fn lock_within(connection: &mut PgConnection, patience: Duration) -> Result<()> {
    let (begun, mut told) = (Instant::now(), false);
    loop {
        // None: there is no such row, as before the first installation, and in what was restored
        // without its rows.
        let installed = standing(connection).await?;
        let sql = match installed {
            // Waits for another that makes it, for as long as lock_timeout says.
            None => MAKE,
            Some(false) => return Ok(()),
            Some(true) => "select 1 from tasker.schema_info i for update skip locked",
        };
        let done = sqlx::query(sql).persistent(false).execute(&mut *connection).await?;
        if installed.is_none() {
            if standing(connection).await?.is_none() {
                return Ok(());
            }
            // By another, for whom this one has waited.
            continue;
        } else if done.rows_affected() > 0 {
            return Ok(());
        }
        if begun.elapsed() >= patience {
            let holders = holders(connection, HOLDERS).await?;
            return Err(Error::Schema(format!(
                "another installer has held schema tasker for {patience:?}: {holders}. Wait for \
                 it, or end it: select pg_terminate_backend(…)"
            )));
        }
        if !std::mem::replace(&mut told, true) {
            let holders = holders(connection, HOLDERS).await?;
            tracing::warn!(%holders, "another installer is at work: waiting for up to \
                {patience:?}");
        }
        sleep(ROUND).await;
    }
}

/// Whether the row of schema_info may be locked by this role; none: it is not there.
async fn standing(connection: &mut PgConnection) -> Result<Option<bool>> {
    let may: Option<bool> = sqlx::query_scalar(
        "select pg_catalog.has_table_privilege(pg_catalog.to_regclass('tasker.schema_info'), \
         'update')",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await?;
    if may != Some(true) {
        return Ok(may);
    }
    let there = sqlx::query_scalar("select exists (select from tasker.schema_info)");
    let there: bool = there.persistent(false).fetch_one(connection).await?;
    Ok(Some(true).filter(|_| there))
}

/// Who may hold what an installer has waited for until its lock_timeout.
///
/// # Errors
/// They cannot be asked for.
pub async fn old_transactions(pool: &PgPool) -> Result<String> {
    let mut connection = Lent::from(pool).await?;
    let found = limited::within(PING, holders(&mut connection, OLD_TRANSACTIONS)).await?;
    connection.give_back();
    Ok(found)
}

async fn holders(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<String> {
    let found: Vec<String> =
        sqlx::query_scalar(sql).persistent(false).fetch_all(connection).await?;
    Ok(if found.is_empty() { "nobody that this role may see".to_owned() } else { found.join(", ") })
}
