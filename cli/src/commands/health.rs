//! `tasker health`: whether Tasker can be used, or why not.

use crate::{
    error::{Error, Result},
    globals::Globals,
    output,
};
use pgtasker_client::ServerHealth;
use std::process::ExitCode;

/// Asks; exits with 1 where it cannot be used.
pub async fn run(globals: &Globals) -> Result<ExitCode> {
    let health = match ask(globals).await {
        Ok(health) => health,
        // One document in every case.
        Err(error) if globals.json => ServerHealth {
            healthy: false,
            reason: Some(error.message().to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: None,
        },
        Err(error) => return Err(error),
    };
    if globals.json {
        output::print_json(&health)?;
        return Ok(if health.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    match health {
        ServerHealth { healthy: true, version, schema, .. } => {
            let schema = schema.map(|schema| format!(", schema {schema}")).unwrap_or_default();
            output::print(&format!("healthy: Tasker {version}{schema}"))?;
            Ok(ExitCode::SUCCESS)
        }
        ServerHealth { reason, .. } => Err(Error::new(format!(
            "not healthy: {}",
            reason.as_deref().unwrap_or("no reason was given")
        ))),
    }
}

async fn ask(globals: &Globals) -> Result<ServerHealth> {
    Ok(globals.client_of_any_schema().await?.health().await?)
}
