//! The log, on standard error.

use crate::{JsonLines, try_start};
use std::{io::IsTerminal, str::FromStr};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::ParseError,
    fmt::format::JsonFields,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

/// What is logged where the log goes with output for people. sqlx complains of each broken
/// connection, which its caller reports as well.
pub const QUIET: &str = "warn,sqlx=off";
/// What is logged by a process whose log is its only output.
pub const FULL: &str = "info,sqlx=off";

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object a line.
    Json,
    /// For people.
    Human,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "human" => Ok(Self::Human),
            _ => Err(format!("{text:?} is neither json nor human")),
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// RUST_LOG is not a filter.
    #[error("RUST_LOG: {0}")]
    Filter(#[from] ParseError),
    /// The process has one already.
    #[error(transparent)]
    Started(#[from] TryInitError),
}

/// Starts the log on standard error; RUST_LOG has precedence over `default`. A `service` exports
/// its traces too, where the OTEL_ variables say so.
///
/// # Errors
/// RUST_LOG is not a filter, or there is a log already.
pub fn start_log(
    format: LogFormat,
    default: &str,
    service: Option<&'static str>,
) -> Result<(), LogError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter)?,
        _ => EnvFilter::new(default),
    };
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        LogFormat::Json => {
            log.fmt_fields(JsonFields::new()).event_format(JsonLines).with_filter(filter).boxed()
        }
        LogFormat::Human => log.with_ansi(colours()).with_target(false).with_filter(filter).boxed(),
    };
    let mut layers = vec![log];
    let started = service.map_or(Ok(None), try_start);
    let (tracing, problems) =
        started.map_or_else(|problems| (None, problems), |tracing| (tracing, Vec::new()));
    layers.extend(tracing.as_ref().map(|tracing| tracing.layer()));
    tracing_subscriber::registry().with(layers).try_init()?;
    if let Some(tracing) = tracing {
        tracing.tell_problems();
    }
    for problem in problems {
        tracing::warn!("{problem}");
    }
    Ok(())
}

/// Whether standard error is read by people who want colours.
fn colours() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !set("NO_COLOR") && !dumb
}
