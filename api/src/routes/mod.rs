//! The routes, a module each for what they are about. Each calls one function of the client.

pub mod dead_letters;
pub mod domain_events;
pub mod events;
pub mod health;
mod parts;
pub mod settings;
pub mod steps;
mod stream;
pub mod system;
pub mod tasks;
pub mod templates;

use crate::state::App;
use utoipa_axum::router::OpenApiRouter;

/// Every documented route: those of each module.
pub fn all() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(tasks::routes())
        .merge(events::routes())
        .merge(steps::routes())
        .merge(templates::routes())
        .merge(dead_letters::routes())
        .merge(system::routes())
        .merge(domain_events::routes())
        .merge(settings::routes())
        .merge(health::routes())
}
