//! tasker-telemetry.
