//! tasker-client.
