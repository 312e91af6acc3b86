//! Templates as the database has them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A row of `tasker.template_overview`, without the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateOverview {
    /// The template.
    pub template_id: Uuid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Steps it has.
    pub steps: i64,
    /// The version that a task without one gets.
    pub current: bool,
    /// First applied.
    pub created_at: DateTime<Utc>,
}

/// A template with its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Template {
    /// What the list shows.
    #[serde(flatten)]
    pub overview: TemplateOverview,
    /// As it was applied.
    pub definition: Value,
}
