//! tasker-api.
