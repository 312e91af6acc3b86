//! A template file against the database: every problem at its position, and applying it.

use super::TemplateFile;
use crate::{
    Error, Result,
    json_schema::{InputSchema, apart},
    pooler::Limited,
    template::Diagnostic,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What `tasker.apply_template` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Applied {
    /// The template's id; the same one each time the same content is applied.
    pub template_id: Uuid,
    /// False: this version was there already, with the same content.
    pub created: bool,
    /// The version that ran before, where it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// A part of a definition that is wrong, or probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The JSON Pointer of the part; empty for the whole document.
    pub path: String,
    /// A short stable word.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What there is to say about a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    /// What keeps it from being applied; none: it can be.
    pub problems: Vec<Problem>,
    /// What is probably not meant, in a template that can be applied.
    pub warnings: Vec<Problem>,
}

impl Report {
    /// The problems and the warnings where they stand in the file, each sorted by position.
    pub fn locate(&self, file: &TemplateFile) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        (located(&self.problems, file), located(&self.warnings, file))
    }
}

fn located(found: &[Problem], file: &TemplateFile) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = found
        .iter()
        .map(|Problem { path, code, message }| file.diagnostic(path, code, message))
        .collect();
    found.sort_by(|a, b| (a.position, &a.path, &a.code).cmp(&(b.position, &b.path, &b.code)));
    found
}

/// Looks at a definition: by `tasker.validate_template`, whether its `input_schema` is a JSON
/// Schema, and where all is well by `tasker.template_warnings`.
///
/// # Errors
/// Database errors only; problems of the definition are the result.
pub async fn validate_template(db: impl Into<Limited<'_>>, definition: &Value) -> Result<Report> {
    let db = db.into();
    let mut problems =
        found(db, definition, "select path, code, message from tasker.validate_template($1)")
            .await?;
    problems.extend(schema_problems(definition).await);
    if !problems.is_empty() {
        return Ok(Report { problems, ..Report::default() });
    }
    let warnings =
        found(db, definition, "select path, code, message from tasker.template_warnings($1)")
            .await?;
    Ok(Report { problems, warnings })
}

async fn found(db: Limited<'_>, definition: &Value, sql: &'static str) -> Result<Vec<Problem>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(sql).bind(definition).fetch_all(db).await?;
    Ok(rows.into_iter().map(|(path, code, message)| Problem { path, code, message }).collect())
}

/// [`check_schemas`] on a thread of its own: compiling takes a while where a schema is large.
async fn schema_problems(definition: &Value) -> Vec<Problem> {
    let definition = definition.clone();
    let no_thread = || {
        let message =
            "the schemas could not be checked: the process can have no more threads".to_owned();
        vec![Problem { path: String::new(), code: "input_schema".to_owned(), message }]
    };
    apart(move || check_schemas(&definition)).await.unwrap_or_else(no_thread)
}

/// Only the database can tell whether the rest is valid; only Rust has a JSON Schema compiler.
pub(super) fn check_schemas(definition: &Value) -> Vec<Problem> {
    let input = (String::new(), definition, "input_schema");
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let steps = items(&definition["steps"]);
    let events: Vec<(String, Value)> = steps
        .iter()
        .enumerate()
        .flat_map(|(n, step)| {
            let place = move |m: usize| format!("/steps/{n}/publishes_events/{m}");
            items(&step["publishes_events"])
                .into_iter()
                .enumerate()
                .map(move |(m, event)| (place(m), event))
        })
        .collect();
    std::iter::once(input)
        .chain(events.iter().map(|(place, event)| (place.clone(), event, "schema")))
        .filter_map(|(place, of, key)| {
            // Anything but an object is reported by validate_template.
            let schema = of.get(key).filter(|schema| schema.is_object())?;
            let error = InputSchema::build(schema).err()?;
            let message = format!("{key} is not a valid JSON Schema: {error}");
            Some(Problem {
                path: format!("{place}/{key}{}", error.path),
                code: "input_schema".to_owned(),
                message,
            })
        })
        .collect()
}

/// Applies a definition; `by` is recorded, none means the database role.
///
/// # Errors
/// `TK010` when it is not valid ([`validate_template`] tells where), `TK011` when this version
/// exists with other content, `TK052` for a `by` that an audit would not show as it is.
pub async fn apply_template(
    db: impl Into<Limited<'_>>,
    definition: &Value,
    by: Option<&str>,
) -> Result<Applied> {
    if let Some(Problem { path, message, .. }) =
        schema_problems(definition).await.into_iter().next()
    {
        return Err(Error::Refused {
            code: "TK010".to_owned(),
            message: format!("the template is not valid: {path}: {message}"),
            hint: Some("input_schema and the schemas of events must be JSON Schemas".to_owned()),
        });
    }
    let (template_id, created, was) =
        sqlx::query_as("select template_id, created, was from tasker.apply_template($1, $2)")
            .bind(definition)
            .bind(by)
            .fetch_one(db.into())
            .await?;
    Ok(Applied { template_id, created, was })
}
