//! The log, on standard error.

use crate::error::{Error, Result};
use clap::ValueEnum;
use std::io::IsTerminal;
use tasker_telemetry::JsonLines;
use tracing_subscriber::{
    EnvFilter, Layer, fmt::format::JsonFields, layer::SubscriberExt, util::SubscriberInitExt,
};

/// What is logged where the log goes with output for people. sqlx warns of each broken connection, which
/// its caller reports as well.
pub const QUIET: &str = "warn,sqlx=error";
/// What is logged by a process whose log is its only output.
pub const FULL: &str = "info,sqlx=error";

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    // A JSON object a line. Doc comments here would double the length of the help.
    Json,
    // For people.
    Human,
}

/// Starts the log; RUST_LOG goes before `default`. A `service` exports its traces too, where the OTEL_ variables say so.
///
/// # Errors
/// RUST_LOG is not a filter.
pub fn start(format: LogFormat, default: &str, service: Option<&'static str>) -> Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            EnvFilter::try_new(&filter).map_err(|error| Error::from(error).context("RUST_LOG"))?
        }
        _ => EnvFilter::new(default),
    };
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        LogFormat::Json => {
            log.fmt_fields(JsonFields::new()).event_format(JsonLines).with_filter(filter).boxed()
        }
        LogFormat::Human => {
            let colours = std::io::stderr().is_terminal() && console::colors_enabled_stderr();
            log.with_ansi(colours).with_target(false).with_filter(filter).boxed()
        }
    };
    let mut layers = vec![log];
    let started = service.map_or(Ok(None), tasker_telemetry::try_start);
    let (tracing, problems) =
        started.map_or_else(|problems| (None, problems), |tracing| (tracing, Vec::new()));
    layers.extend(tracing.as_ref().map(|tracing| tracing.layer()));
    tracing_subscriber::registry().with(layers).try_init().map_err(|error| Error::boxed(Box::new(error)))?;
    if let Some(tracing) = tracing {
        tracing.tell_problems();
    }
    for problem in problems {
        tracing::warn!("{problem}");
    }
    crate::config::tell_warnings();
    Ok(())
}
