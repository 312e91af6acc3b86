//! What the commands that run until they are stopped have in common.

use crate::{
    error::Result,
    logging::{self, LogFormat},
};
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use pgtasker_core::{
    bounds::{POLL_INTERVAL, STALLED_AFTER},
    health::Health,
    signals,
};
use pgtasker_orchestrator::TASK_SECONDS;
use pgtasker_telemetry::endpoint;
use std::{net::SocketAddr, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long a process that may start before its database waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Options of every process that runs until it is stopped.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    /// Never LISTEN, only poll: for poolers in transaction mode.
    #[arg(long)]
    pub poll_only: bool,
    /// How often to look for work without a notification.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = POLL_INTERVAL.default_text(),
        value_parser = |text: &str| POLL_INTERVAL.parse(text),
    )]
    pub poll_interval: Duration,
    /// How long an actor with work may go without success before /health reports it as stalled.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = STALLED_AFTER.default_text(),
        value_parser = |text: &str| STALLED_AFTER.parse(text),
    )]
    pub stalled_after: Duration,
    /// Serve /metrics for Prometheus and /health at this address, such as 127.0.0.1:9187 [default:
    /// off].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// The log format; the log goes to standard error, and RUST_LOG filters it.
    #[arg(long, value_enum, value_name = "FORM", default_value = "human")]
    pub log: LogFormat,
}

impl ServiceArgs {
    /// Starts the log, the traces, the signals, and the metrics, which are counted where they are
    /// served or `counts`. `service` is the name in the traces.
    ///
    /// # Errors
    /// RUST_LOG is not a filter, or the address of the metrics cannot be used.
    pub fn start(&self, log: &str, service: &'static str, counts: bool) -> Result<Started> {
        logging::start(self.log, log, Some(service))?;
        let shutdown = signals::shutdown()?;
        let metrics = (counts || self.metrics.is_some())
            .then(|| endpoint::count(&[("tasker_task_seconds", TASK_SECONDS)]))
            .transpose()?;
        let health = Health::new();
        health.set_stalled_after(self.stalled_after);
        if let (Some(address), Some(metrics)) = (self.metrics, &metrics) {
            endpoint::serve(address, metrics.clone(), health.clone())?;
        }
        Ok(Started { shutdown, health, metrics })
    }
}

/// What a process has from its start on.
#[derive(Debug)]
pub struct Started {
    /// Cancelled by SIGTERM or ctrl-c.
    pub shutdown: CancellationToken,
    /// For what runs.
    pub health: Health,
    /// What is counted.
    pub metrics: Option<PrometheusHandle>,
}
