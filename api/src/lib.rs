//! pgtasker-api: the HTTP API, by axum and utoipa: routes, keys and tokens, limits, the OpenAPI
//! document. A thin layer over [`pgtasker_client::Client`]: no rule of the engine is repeated here.
//! `tasker orchestrator` and `tasker up` serve it. docs/http-api.md describes it; it describes
//! itself at `/openapi.json` and `/docs`.

mod access;
mod connections;
mod crypto;
mod error;
mod extract;
mod large;
mod layers;
mod openapi;
mod places;
mod problem;
mod routes;
mod server;
mod settings;
mod state;

pub use access::{NewKey, Permission, Permissions, new_key};
pub use error::{Error, Result};
pub use problem::ProblemDetails;
pub use server::Server;
pub use settings::{ApiSettings, TlsFiles};
