//! A template file against the database: every problem at its position, and applying it.

use super::TemplateFile;
use crate::{Result, json_schema::InputSchema, template::Diagnostic};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

/// What `tasker.apply_template` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The template's id; the same one each time the same content is applied.
    pub template_id: Uuid,
    /// False: this version was there already, with the same content.
    pub created: bool,
}

/// Every problem of the file by `tasker.validate_template`, and whether its `input_schema` is a JSON
/// Schema, sorted by position. Empty when it can be applied.
///
/// # Errors
/// Database errors only; problems of the file are the result.
pub async fn check(pool: &PgPool, file: &TemplateFile) -> Result<Vec<Diagnostic>> {
    let sql = "select path, code, message from tasker.validate_template($1)";
    let mut found = diagnostics(pool, file, sql).await?;
    found.extend(check_input_schema(file));
    sort(&mut found);
    Ok(found)
}

/// What is valid in the file but probably not meant, by `tasker.template_warnings`, sorted by position. For a
/// file without problems.
///
/// # Errors
/// Database errors only.
pub async fn warnings(pool: &PgPool, file: &TemplateFile) -> Result<Vec<Diagnostic>> {
    let sql = "select path, code, message from tasker.template_warnings($1)";
    let mut found = diagnostics(pool, file, sql).await?;
    sort(&mut found);
    Ok(found)
}

async fn diagnostics(pool: &PgPool, file: &TemplateFile, sql: &'static str) -> Result<Vec<Diagnostic>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(sql).bind(file.definition()).fetch_all(pool).await?;
    Ok(rows.iter().map(|(path, code, message)| file.diagnostic(path, code, message)).collect())
}

fn sort(found: &mut [Diagnostic]) {
    found.sort_by(|a, b| (a.position, &a.path, &a.code).cmp(&(b.position, &b.path, &b.code)));
}

/// Only the database can tell whether the rest is valid; only Rust has a JSON Schema compiler.
pub(super) fn check_input_schema(file: &TemplateFile) -> Option<Diagnostic> {
    // Anything but an object is reported by validate_template.
    let schema = file.definition().get("input_schema").filter(|schema| schema.is_object())?;
    let error = InputSchema::build(schema).err()?;
    Some(file.diagnostic(&format!("/input_schema{}", error.path), "input_schema", &error.to_string()))
}

/// Applies the template.
///
/// # Errors
/// `TK010` when the definition is not valid ([`check`] tells where), `TK011` when this version exists
/// with other content.
pub async fn apply(pool: &PgPool, file: &TemplateFile) -> Result<Applied> {
    let (template_id, created) = sqlx::query_as("select template_id, created from tasker.apply_template($1)")
        .bind(file.definition())
        .fetch_one(pool)
        .await?;
    Ok(Applied { template_id, created })
}
