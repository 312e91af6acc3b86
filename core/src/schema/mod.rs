//! The schema installer: what is embedded from `migrations/` and `sql/`, put into a database in one
//! transaction, printed as a script, and compared at the start of every process.

mod bundle;
mod check;
mod head;
mod lock;
mod migrate;
mod object;
mod order;
mod roles;
mod script;
mod standing;

pub use bundle::{Bundle, Migration};
pub use lock::{lock, old_transactions};
pub use migrate::Report;
pub use object::Object;
pub use roles::{grant_for, roles_that_may};

use crate::Result;
use sqlx::PgPool;
use std::sync::OnceLock;

/// Names resolve the same way for everybody, and a limit meant for queries does not stop a
/// migration.
const SESSION: &str = "set local search_path = '';\nset local statement_timeout = 0;\n\
                       set local standard_conforming_strings = on;\nset local row_security = off;\n\
                       set local lock_timeout = '10s';";
const BOOTSTRAP: &str = include_str!("bootstrap.sql");
const DROP: &str = include_str!("drop.sql");
const RECORD: &str = include_str!("record.sql");
const UNCHECKED: &str = "set local check_function_bodies = off;";
const VALIDATE: &str = include_str!("validate.sql");

/// Brings schema `tasker` up to date; see [`Bundle::migrate`].
///
/// # Errors
/// See [`Bundle::migrate`].
pub async fn migrate(pool: &PgPool) -> Result<Report> {
    Bundle::embedded()?.migrate(pool).await
}

/// Whether the schema is the one this program works with; see [`Bundle::check`].
///
/// # Errors
/// See [`Bundle::check`].
pub async fn check(pool: &PgPool) -> Result<()> {
    Bundle::embedded()?.check(pool).await
}

/// The SQL script that does what [`migrate`] does; see [`Bundle::script`].
///
/// # Errors
/// See [`Bundle::new`].
pub fn script() -> Result<String> {
    Ok(Bundle::embedded()?.script())
}

/// Known once the bundle has been read: reading it costs a debug build more than all else at the
/// start of a process.
static VERSION: OnceLock<String> = OnceLock::new();

/// The schema this program works with, such as `1 (sql 3f2a9c1d)`.
pub fn version() -> String {
    if let Some(version) = VERSION.get() {
        return version.clone();
    }
    Bundle::embedded().map_or_else(|error| format!("broken: {error}"), |bundle| bundle.version())
}

fn describe(migration: i32, sql_hash: &str) -> String {
    format!("{migration} (sql {:.8})", sql_hash)
}
