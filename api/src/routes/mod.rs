//! The routes, a module each for what they are about. Each calls one function of the client.

pub mod dead_letters;
pub mod domain_events;
pub mod events;
pub mod health;
pub mod settings;
pub mod steps;
mod stream;
pub mod system;
pub mod tasks;
pub mod templates;

use crate::state::App;
use pgtasker_client::By;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// A task in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TaskAt {
    /// The task.
    pub task_id: Uuid,
}

/// Who acts, and why: both stand in the audit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// In words.
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
    /// False: it was so already.
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
            "a text of {length} characters is too long here: at most {longest}"
        ))),
        _ => Ok(text),
    }
}

/// Every documented route.
pub fn all() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(tasks::list_tasks, tasks::enqueue_task))
        .routes(routes!(tasks::show_task))
        .routes(routes!(tasks::task_context))
        .routes(routes!(tasks::task_status))
        .routes(routes!(tasks::task_result))
        .routes(routes!(tasks::task_graph))
        .routes(routes!(tasks::task_transitions))
        .routes(routes!(tasks::list_batches))
        .routes(routes!(tasks::cancel_task))
        .routes(routes!(tasks::resolve_task))
        .routes(routes!(tasks::reset_task))
        .routes(routes!(tasks::retry_tasks))
        .routes(routes!(tasks::cancel_tasks))
        .routes(routes!(tasks::count_tasks))
        .routes(routes!(events::follow_task))
        .routes(routes!(events::follow_system))
        .routes(routes!(steps::list_steps))
        .routes(routes!(steps::show_step))
        .routes(routes!(steps::step_transitions))
        .routes(routes!(steps::retry_step))
        .routes(routes!(steps::resolve_step))
        .routes(routes!(templates::list_templates, templates::apply_template))
        .routes(routes!(templates::validate_template))
        .routes(routes!(templates::show_template))
        .routes(routes!(templates::use_template))
        .routes(routes!(dead_letters::list_dead_letters, dead_letters::add_dead_letter))
        .routes(routes!(dead_letters::dead_letter_counts))
        .routes(routes!(dead_letters::count_dead_letters))
        .routes(routes!(dead_letters::retry_dead_letters))
        .routes(routes!(dead_letters::update_dead_letters))
        .routes(routes!(dead_letters::show_dead_letter, dead_letters::update_dead_letter))
        .routes(routes!(dead_letters::retry_dead_letter))
        .routes(routes!(system::list_queues))
        .routes(routes!(system::list_namespaces))
        .routes(routes!(system::pause_namespace))
        .routes(routes!(system::resume_namespace))
        .routes(routes!(system::limit_namespace))
        .routes(routes!(domain_events::list_events))
        .routes(routes!(system::list_workers))
        .routes(routes!(system::prune))
        .routes(routes!(settings::list_settings))
        .routes(routes!(settings::set_setting))
        .routes(routes!(system::list_staleness))
        .routes(routes!(system::slowest_steps))
        .routes(routes!(system::throughput))
        .routes(routes!(system::failure_rates))
        .routes(routes!(health::health))
        .routes(routes!(health::process_health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
}
