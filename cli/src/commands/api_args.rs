//! The HTTP API of `tasker orchestrator` and `tasker up`.

use crate::error::{Error, Result};
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use pgtasker_api::{ApiSettings, Server, TlsFiles};
use pgtasker_core::{
    bounds::{BODY_BYTES, REQUEST_TIMEOUT},
    breaker::Breaker,
};
use sqlx::PgPool;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Where the API listens by default.
const DEFAULT: &str = "127.0.0.1:8410";

/// Where to listen, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => text.parse().map(Self::At).map_err(|_| {
                format!(
                    "write it as ADDRESS:PORT with an IP address, such as {DEFAULT} or \
                     0.0.0.0:8410, or off"
                )
            }),
        }
    }
}

/// Options of the HTTP API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP API")]
pub struct ApiArgs {
    /// Serve the HTTP API at this address, or off [default: 127.0.0.1:8410, unless another process
    /// has it].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<Listen>,
    /// PEM file with the certificate chain; it is read again when it changes.
    #[arg(long, value_name = "FILE", requires = "http_tls_key")]
    pub http_tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, value_name = "FILE", requires = "http_tls_cert")]
    pub http_tls_key: Option<PathBuf>,
    /// File with the accepted keys (see `tasker key new`); it is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub http_keys: Option<PathBuf>,
    /// Accept JWTs (RS256 or EdDSA) signed by a key of this JWKS.
    #[arg(long, value_name = "URL|FILE")]
    pub http_jwks: Option<String>,
    /// Without keys, serve every user of this machine.
    #[arg(long)]
    pub http_open: bool,
    /// The `iss` that a JWT must have.
    #[arg(long, value_name = "TEXT", requires = "http_jwks")]
    pub http_jwt_issuer: Option<String>,
    /// A value that `aud` of a JWT must contain.
    #[arg(long, value_name = "TEXT", requires = "http_jwks")]
    pub http_jwt_audience: Option<String>,
    /// Largest request body, in bytes.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = BODY_BYTES.default,
        value_parser = clap::value_parser!(u32).range(BODY_BYTES.range()),
    )]
    pub http_max_body_bytes: u32,
    /// How long a request may take, including its time in the database.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = REQUEST_TIMEOUT.default_text(),
        value_parser = |text: &str| REQUEST_TIMEOUT.parse(text),
    )]
    pub http_request_timeout: Duration,
}

impl ApiArgs {
    /// Whether it is not wanted.
    pub fn is_off(&self) -> bool {
        self.http == Some(Listen::Off)
    }

    /// Whether it is wanted and nothing says who may use it.
    pub fn wants_own_key(&self) -> bool {
        !self.is_off() && self.http_keys.is_none() && self.http_jwks.is_none() && !self.http_open
    }

    /// The settings, and whether the address was asked for; none: off.
    fn settings(&self, poll_only: bool) -> Result<Option<(ApiSettings, bool)>> {
        let listen = match self.http {
            Some(Listen::Off) => return Ok(None),
            Some(Listen::At(address)) => address,
            None => DEFAULT.parse()?,
        };
        let mut settings = ApiSettings::new(listen);
        settings.tls = match (&self.http_tls_cert, &self.http_tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert: cert.clone(), key: key.clone() }),
            (None, None) => None,
            _ => {
                return Err(Error::new("TLS needs a certificate and its key")
                    .or_hint("give --http-tls-cert and --http-tls-key, or neither"));
            }
        };
        settings.keys.clone_from(&self.http_keys);
        settings.jwks.clone_from(&self.http_jwks);
        settings.jwt_issuer.clone_from(&self.http_jwt_issuer);
        settings.jwt_audience.clone_from(&self.http_jwt_audience);
        settings.max_body_bytes = self.http_max_body_bytes;
        settings.request_timeout = self.http_request_timeout;
        settings.poll_only = poll_only;
        Ok(Some((settings, self.http.is_some())))
    }

    /// Takes the address; none if it is off, if no option says who may use it, or if another
    /// process has the default address. `own_keys`: a keys file to use where none is given.
    ///
    /// # Errors
    /// The address that was asked for is taken or open to others without keys; files that cannot be
    /// used.
    pub async fn bind(
        &self,
        pool: &PgPool,
        breaker: &Breaker,
        metrics: Option<PrometheusHandle>,
        poll_only: bool,
        stop: &CancellationToken,
        own_keys: Option<&Path>,
    ) -> Result<Option<Server>> {
        let Some((mut settings, asked)) = self.settings(poll_only)? else { return Ok(None) };
        if !settings.is_closed() && !self.http_open {
            settings.keys = own_keys.map(Path::to_owned);
        }
        // What others can reach is refused below.
        if !settings.is_closed() && !self.http_open && settings.listen.ip().is_loopback() {
            tracing::warn!(
                "the HTTP API is off, because no option says who may use it: give --http-keys FILE \
                 (`tasker key new` makes a \
                 key) or --http-jwks URL, or serve every user of this machine with --http-open; \
                 --http off silences this"
            );
            return Ok(None);
        }
        match Server::bind(&settings, pool, breaker.clone(), metrics, stop.clone()).await {
            Ok(server) => Ok(Some(server)),
            Err(error) if error.is_address_taken() && !asked => {
                tracing::warn!(
                    "{error}: another process serves it there; this one continues without it \
                     (--http chooses another address)"
                );
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Serves until its token is cancelled; nothing where there is no API.
///
/// # Errors
/// The address is lost.
pub async fn serve(api: Option<Server>) -> Result<()> {
    match api {
        Some(server) => Ok(server.run().await?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_or_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("[::1]:80".parse(), Ok(Listen::At("[::1]:80".parse().unwrap())));
        assert!("8410".parse::<Listen>().unwrap_err().contains("ADDRESS:PORT"));
    }
}
