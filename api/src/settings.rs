//! What can be set.

use pgtasker_core::bounds::{BODY_BYTES, OutOfBounds, REQUEST_TIMEOUT};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Settings of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Certificate chain and private key, PEM files that are read again when they change; none:
    /// plain HTTP.
    pub tls: Option<TlsFiles>,
    /// TOML with hashed keys, read again when it changes.
    pub keys: Option<PathBuf>,
    /// A JWKS by `https://` URL (`http://` of loopback) or file: tokens signed by its keys are
    /// accepted.
    pub jwks: Option<String>,
    /// What `iss` of a token must be.
    pub jwt_issuer: Option<String>,
    /// What `aud` of a token must have.
    pub jwt_audience: Option<String>,
    /// A body larger than this is refused; from 1 KiB to 1 GiB.
    pub max_body_bytes: u32,
    /// How long a request may take, in the database too; from 500 ms to a day.
    pub request_timeout: Duration,
    /// Requests at once; streams of events do not count.
    pub max_requests: usize,
    /// Streams of events at once.
    pub max_streams: usize,
    /// Connections of clients at once; more are closed unanswered, so that they cannot take the
    /// files that the process needs for the database.
    pub max_connections: usize,
    /// How long a client may not read what is sent to it.
    pub write_timeout: Duration,
    /// Connections to the database at most.
    pub connections: u32,
    /// Whether the database is reached through a pooler in transaction mode: nothing is set on its
    /// connections.
    pub poll_only: bool,
}

/// Two PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those up to the root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ApiSettings {
    /// Open, on `listen`; 2 MiB bodies, 10 seconds a request.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            keys: None,
            jwks: None,
            jwt_issuer: None,
            jwt_audience: None,
            max_body_bytes: BODY_BYTES.default,
            request_timeout: REQUEST_TIMEOUT.default,
            max_requests: 256,
            max_streams: 64,
            max_connections: 512,
            write_timeout: Duration::from_secs(30),
            connections: 8,
            poll_only: false,
        }
    }

    /// Refuses what the options of the CLI refuse.
    pub(crate) fn check(&self) -> Result<(), OutOfBounds> {
        BODY_BYTES.check(self.max_body_bytes)?;
        REQUEST_TIMEOUT.check(self.request_timeout)?;
        Ok(())
    }

    /// Whether a key or token is wanted.
    pub fn is_closed(&self) -> bool {
        self.keys.is_some() || self.jwks.is_some()
    }
}
