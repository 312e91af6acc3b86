//! The log, on standard error.

use crate::error::{Error, Result};
use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

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

/// Starts the log; RUST_LOG goes before `default`.
///
/// # Errors
/// RUST_LOG is not a filter.
pub fn start(format: LogFormat, default: &str) -> Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            EnvFilter::try_new(&filter).map_err(|error| Error::from(error).context("RUST_LOG"))?
        }
        _ => EnvFilter::new(default),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Human => {
            let colours = std::io::stderr().is_terminal() && console::colors_enabled_stderr();
            log.with_ansi(colours).with_target(false).try_init()
        }
    };
    started.map_err(Error::boxed)?;
    crate::config::tell_warnings();
    Ok(())
}
