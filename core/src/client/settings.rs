//! The settings of the engine, which are in the database and hold for every process.

use crate::Result;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgExecutor};

/// A setting of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EngineSetting {
    /// Its name.
    pub name: String,
    /// As text; none: no limit.
    pub value: Option<String>,
    /// As text.
    pub default_value: Option<String>,
    /// Of PostgreSQL.
    pub r#type: String,
    /// What it does.
    pub description: Option<String>,
}

/// Every setting, by name.
///
/// # Errors
/// Database errors only.
pub async fn list_settings(executor: impl PgExecutor<'_>) -> Result<Vec<EngineSetting>> {
    let rows = sqlx::query_as(
        "select name, value, default_value, type, description from tasker.list_settings()",
    );
    Ok(rows.fetch_all(executor).await?)
}

/// Changes a setting, at once and for every process.
///
/// # Errors
/// `TK058` when there is no such setting, or it cannot have this value.
pub async fn set_setting(
    executor: impl PgExecutor<'_>,
    name: &str,
    value: &str,
    by: Option<&str>,
) -> Result<()> {
    let set = sqlx::query("select tasker.set_setting($1, $2, $3)").bind(name).bind(value).bind(by);
    set.execute(executor).await?;
    Ok(())
}
