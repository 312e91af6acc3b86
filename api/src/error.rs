//! Why the server does not start.

use pgtasker_core::bounds::OutOfBounds;
use std::{io, net::SocketAddr};

/// The result of starting.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the server does not start, or what it was given cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// The address cannot be used.
    #[error("cannot serve the HTTP API on {address}: {source}")]
    Listen {
        /// The address that cannot be used.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// Everybody could do everything.
    #[error(
        "the HTTP API does not listen on {0} without access control: give it --http-keys FILE \
         (`tasker key new` makes a \
         key) or --http-jwks URL, or let it listen on loopback, such as 127.0.0.1:8410"
    )]
    Open(SocketAddr),
    /// The keys file.
    #[error("the keys cannot be used: {0}")]
    Keys(String),
    /// The JWKS.
    #[error("the JWKS cannot be used: {0}")]
    Jwks(String),
    /// A route that does not say who may use it: a defect.
    #[error("the routes of the HTTP API: {0}")]
    Routes(String),
    /// Certificate or private key.
    #[error("TLS for the HTTP API: {0}")]
    Tls(String),
}

impl Error {
    /// Whether another program has the address.
    pub fn is_address_taken(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}
