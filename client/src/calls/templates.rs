//! Templates: look at and apply them.

use super::unwrapped;
pub use pgtasker_core::template::{apply_template, validate_template};

use crate::types::{Template, TemplateOverview};
use pgtasker_core::{Result, json::Document, template::Applied};
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

/// Makes a version that has been applied the one that runs.
///
/// # Errors
/// `TK001`, `TK002`, `TK003`: it does not exist.
pub async fn use_template(
    executor: impl PgExecutor<'_>,
    namespace: &str,
    name: &str,
    version: &str,
) -> Result<Applied> {
    let (template_id, created, was) =
        sqlx::query_as("select template_id, created, was from tasker.use_template($1, $2, $3)")
            .bind(namespace)
            .bind(name)
            .bind(version)
            .fetch_one(executor)
            .await?;
    Ok(Applied { template_id, created, was })
}
