//! The log of the program, on standard error.

use crate::error::Result;
use clap::ValueEnum;
use pgtasker_telemetry::log;
pub use pgtasker_telemetry::log::{FULL, QUIET};

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    // A JSON object a line. Doc comments here would double the length of the help.
    Json,
    // For people.
    Human,
}

/// Starts the log; RUST_LOG has precedence over `default`. A `service` exports its traces too,
/// where the OTEL_ variables say so.
///
/// # Errors
/// RUST_LOG is not a filter.
pub fn start(format: LogFormat, default: &str, service: Option<&'static str>) -> Result<()> {
    let format = match format {
        LogFormat::Json => log::LogFormat::Json,
        LogFormat::Human => log::LogFormat::Human,
    };
    log::start_log(format, default, service)?;
    crate::config::tell_warnings();
    Ok(())
}
