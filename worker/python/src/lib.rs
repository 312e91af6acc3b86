//! The native module of the Python package `pgtasker`: [`pgtasker_bridge::Bridge`] as a class. It
//! releases the GIL wherever it waits, and turns panics into errors. All else is Python.

#![cfg(feature = "module")]
// PyO3's macros make functions without documentation of their own.
#![allow(missing_docs)]

use pgtasker_bridge::{Bridge, BridgeError};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    pybacked::PyBackedStr,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// A running worker or consumer.
#[pyclass(frozen, module = "pgtasker._native")]
struct Native {
    bridge: Bridge,
}

/// Calls the bridge without the GIL.
fn call<T: Send>(py: Python<'_>, f: impl FnOnce() -> Result<T, BridgeError> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(f))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error @ BridgeError::Options(_))) => Err(PyValueError::new_err(error.to_string())),
        Ok(Err(error)) => Err(PyRuntimeError::new_err(error.to_string())),
        Err(_) => Err(PyRuntimeError::new_err("a bug in pgtasker: its native module panicked")),
    }
}

/// No longer than a day: what is no number of seconds waits not at all.
fn seconds(wait: f64) -> Duration {
    Duration::try_from_secs_f64(wait.clamp(0.0, 86_400.0)).unwrap_or_default()
}

#[pymethods]
impl Native {
    #[staticmethod]
    fn start(py: Python<'_>, options: &str) -> PyResult<Self> {
        Ok(Self { bridge: call(py, || Bridge::start(options))? })
    }

    #[staticmethod]
    fn start_consumer(py: Python<'_>, options: &str) -> PyResult<Self> {
        Ok(Self { bridge: call(py, || Bridge::start_consumer(options))? })
    }

    fn started(&self, py: Python<'_>, wait: f64) -> PyResult<bool> {
        call(py, || self.bridge.started(seconds(wait)))
    }

    fn poll(&self, py: Python<'_>, max: usize, wait: f64) -> PyResult<Vec<String>> {
        call(py, || self.bridge.poll(max, seconds(wait)))
    }

    fn complete(&self, py: Python<'_>, answers: Vec<(u64, PyBackedStr)>) -> PyResult<usize> {
        let answers = &answers;
        call(py, || self.bridge.complete(answers.iter().map(|(id, text)| (*id, &**text))))
    }

    fn ask(&self, py: Python<'_>, id: u64, what: &str, arguments: &str) -> PyResult<String> {
        call(py, || self.bridge.ask(id, what, arguments))
    }

    fn ask_later(&self, py: Python<'_>, id: u64, what: &str, arguments: &str) -> PyResult<u64> {
        call(py, || self.bridge.ask_later(id, what, arguments))
    }

    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.bridge.shutdown())
    }

    fn wait(&self, py: Python<'_>, wait: f64) -> PyResult<bool> {
        call(py, || self.bridge.wait(seconds(wait)))
    }

    fn health(&self, py: Python<'_>) -> PyResult<String> {
        call(py, || self.bridge.health())
    }

    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        call(py, || self.bridge.metrics())
    }

    fn id(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(call(py, || self.bridge.id())?.map(|id| id.to_string()))
    }
}

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::Native;
}
