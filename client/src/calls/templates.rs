//! Templates: look at and apply them.

use super::unwrapped;
pub use pgtasker_core::template::validate_template;

use crate::types::{By, Template, TemplateOverview};
use pgtasker_core::{
    Result,
    json::Document,
    pooler::Limited,
    template::{self, Applied},
};
use serde_json::Value;
use sqlx::PgExecutor;

const TEMPLATES: &str = "select to_jsonb(v) - 'definition' from \
    tasker.template_overview v \
     where $1::text is null or v.namespace = $1 order by v.namespace, v.name, v.created_at desc";
const TEMPLATE: &str = "select to_jsonb(v) from tasker.template_overview v \
     where v.namespace = $1 and v.name = $2 and case when $3::text is null then v.current else \
     v.version = $3 end";

/// Every version of every template, the newest of each first.
///
/// # Errors
/// Database errors only.
pub async fn list_templates(
    executor: impl PgExecutor<'_>,
    namespace: Option<&str>,
) -> Result<Vec<TemplateOverview>> {
    let rows = sqlx::query_scalar(TEMPLATES).bind(namespace).fetch_all(executor).await?;
    Ok(unwrapped(rows))
}

/// A template with its definition; no version: the current one (applied or used last). None when
/// there is no such template.
///
/// # Errors
/// Database errors only.
pub async fn show_template(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    name: &str,
    version: Option<&str>,
) -> Result<Option<Template>> {
    let row: Option<Document<Template>> = sqlx::query_scalar(TEMPLATE)
        .bind(namespace)
        .bind(name)
        .bind(version)
        .fetch_optional(executor)
        .await?;
    Ok(row.map(|Document(template)| template))
}

/// Applies a definition.
///
/// # Errors
/// Those of [`template::apply_template`].
pub async fn apply_template(
    db: impl Into<Limited<'_>>,
    definition: &Value,
    by: By<'_>,
) -> Result<Applied> {
    template::apply_template(db, definition, by.who).await
}

/// Makes a version that has been applied the one that runs.
///
/// # Errors
/// `TK001`, `TK002`, `TK003`: it does not exist; `TK052`: no reason or name as these.
pub async fn use_template(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    name: &str,
    version: &str,
    by: By<'_>,
) -> Result<Applied> {
    let applied = sqlx::query_as(
        "select template_id, created, was from tasker.use_template($1, $2, $3, $4, $5)",
    )
    .bind(namespace)
    .bind(name)
    .bind(version)
    .bind(by.reason)
    .bind(by.who);
    let (template_id, created, was) = applied.fetch_one(executor).await?;
    Ok(Applied { template_id, created, was })
}
