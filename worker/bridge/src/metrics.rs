//! The metrics of the process, whatever workers come and go in it.

use pgtasker_core::health::Health;
use pgtasker_telemetry::endpoint::{self, PrometheusHandle};
use pgtasker_worker::Served;
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// The process's one recorder; None where it has another.
pub(crate) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let start = || {
        let recorder = endpoint::install(&[]).ok()?;
        let handle = recorder.clone();
        // A thread, which outlives every worker of the process. It has nothing but time to wait
        // for.
        let upkeep = move || {
            loop {
                std::thread::sleep(endpoint::UPKEEP);
                handle.run_upkeep();
            }
        };
        std::thread::Builder::new().name("tasker-metrics".to_owned()).spawn(upkeep).ok()?;
        Some(recorder)
    };
    RECORDER.get_or_init(start).as_ref()
}

/// Serves /metrics and /health where TASKER_WORKER_METRICS says so: once in a process, whose
/// metrics they are; the health is that of its first worker.
pub(crate) fn watch(health: &Health) -> Result<(), String> {
    static SERVED: AtomicBool = AtomicBool::new(false);
    let Some(recorder) = recorder() else {
        tracing::warn!("the process counts metrics elsewhere: TASKER_WORKER_METRICS is not served");
        return Ok(());
    };
    if SERVED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let served = Served::watch(recorder, health.clone());
    SERVED.store(served.is_ok(), Ordering::Relaxed);
    served.map_err(|error| error.to_string())
}
