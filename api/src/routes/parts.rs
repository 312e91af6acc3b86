//! What the requests and answers of several routes have in common.

use pgtasker_client::By;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A task in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TaskAt {
    /// The task.
    pub task_id: Uuid,
}

/// Who acts, and why, for the audit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Why; written to the audit.
    #[serde(default, deserialize_with = "words")]
    #[schema(max_length = 10_000, example = "the card network was down")]
    pub reason: Option<String>,
    /// A person; the key's name is added.
    #[serde(default, deserialize_with = "name")]
    #[schema(max_length = 200, example = "ana")]
    pub by: Option<String>,
}

/// Who acts and why, as a call takes it. The key or token is added by the database, which is told
/// it with each call.
pub fn said<'a>(by: &'a Option<String>, reason: &'a Option<String>) -> By<'a> {
    By { who: by.as_deref(), reason: reason.as_deref() }
}

/// Whether something changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changed {
    /// False: nothing had to be changed.
    pub changed: bool,
}

/// A text of up to 10,000 characters.
pub fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    short(from, 10_000)
}

/// A text of up to 200 characters.
pub fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    short(from, 200)
}

fn short<'de, D: Deserializer<'de>>(from: D, longest: usize) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    if text.as_ref().is_some_and(|text| text.contains('\0')) {
        return Err(serde::de::Error::custom(
            "a text has the character \\u0000, which PostgreSQL cannot store",
        ));
    }
    match text.as_ref().map_or(0, |text| text.chars().count()) {
        length if length > longest => Err(serde::de::Error::custom(format!(
            "a text of {length} characters is too long: at most {longest}"
        ))),
        _ => Ok(text),
    }
}
