//! What is known of a server that runs.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A server that a Tasker program started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Connects as the superuser; holds the password.
    pub url: String,
    /// Process id of the server.
    pub pid: u32,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// The data folder.
    pub data: PathBuf,
    /// Version of the server, such as `15.18`.
    pub version: String,
}
