//! Tasker over its HTTP API, see docs/http-api.md.

mod answer;
mod calls;
mod request;

use crate::{Error, Result};
use reqwest::{
    Certificate, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect,
};
use std::{fmt, time::Duration};

/// How long a connection may take to come about, if [`HttpClientBuilder::connect_timeout`] does not
/// say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take with its answer, if [`HttpClientBuilder::timeout`] does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A [`crate::Client`] of an HTTP API. Clones share their connections. What it may do is what its
/// key may.
#[derive(Clone)]
pub struct HttpClient {
    http: reqwest::Client,
    base: Url,
}

/// Without the key, which stands in the headers of every request.
impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("url", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// At `url`, with a key where the server wants one; see [`HttpClient::builder`] for more.
    ///
    /// # Errors
    /// As [`HttpClientBuilder::build`].
    pub fn new(url: &str, key: Option<&str>) -> Result<Self> {
        let mut builder = Self::builder(url);
        builder.key = key.map(str::to_owned);
        builder.build()
    }

    /// At `url`: the scheme, the host, and the path, if any, under which a reverse proxy serves the
    /// API.
    pub fn builder(url: &str) -> HttpClientBuilder {
        HttpClientBuilder {
            url: url.to_owned(),
            key: None,
            ca: None,
            plain_http: false,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.base.as_str()
    }
}

/// What an [`HttpClient`] is made of.
#[derive(Clone)]
pub struct HttpClientBuilder {
    url: String,
    key: Option<String>,
    ca: Option<Vec<u8>>,
    plain_http: bool,
    timeout: Duration,
    connect_timeout: Duration,
}

/// Without the key, and without the URL, in which somebody may have written one.
impl fmt::Debug for HttpClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientBuilder")
            .field("has_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl HttpClientBuilder {
    /// An API key or a JWT, sent with every request.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Certificates in PEM: the server's must be signed by one of these, and by no other.
    pub fn ca_pem(mut self, pem: &[u8]) -> Self {
        self.ca = Some(pem.to_owned());
        self
    }

    /// Whether http may be spoken with other machines, for a network where something else encrypts.
    pub fn plain_http(mut self, allowed: bool) -> Self {
        self.plain_http = allowed;
        self
    }

    /// How long a request may take with its answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a connection may take to come about.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the URL is not one, or holds more than scheme, host, and path; http to
    /// another machine; a key that no header can carry; invalid certificates.
    pub fn build(self) -> Result<HttpClient> {
        let base = base_url(&self.url)?;
        let plain = base.scheme() == "http";
        if plain && !self.plain_http && !is_loopback(&base) {
            return Err(plain_http(&base, self.key.is_some()));
        }
        // Fails only where the process has one already, which is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tasker/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(self.key.as_deref())?)
            // The key is for this server only.
            .redirect(redirect::Policy::none())
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout);
        if plain {
            // A proxy would see the key; and certificates are not needed, which may not even be
            // there.
            builder = builder.no_proxy().tls_certs_only([]);
        } else if let Some(pem) = &self.ca {
            builder = builder.tls_certs_only(certificates(pem)?);
        }
        let http = builder.build().map_err(|error| {
            Error::invalid(
                format!("TLS cannot be set up: {}", answer::causes(&error)),
                "install the system's certificates (package ca-certificates), or name the \
                 server's own CA",
            )
        })?;
        Ok(HttpClient { http, base })
    }
}

/// The URL without a slash at its end.
fn base_url(text: &str) -> Result<Url> {
    const FORM: &str = "write it as https://HOST[:PORT][/PATH], such as https://tasker.example";
    let wrong = |what: &str| Error::invalid(format!("the URL of the API {what}"), FORM);
    let mut url =
        Url::parse(text.trim()).map_err(|error| wrong(&format!("is not one: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is neither https nor http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid(
            "the URL of the API holds a user or a password".to_owned(),
            "give the key by itself, not in the URL",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("holds a query or a fragment"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    // What the documentation shows before every path belongs to the paths.
    url.set_path(path.strip_suffix("/v1").unwrap_or(&path));
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn plain_http(url: &Url, has_key: bool) -> Error {
    let host = url.host_str().unwrap_or_default();
    let what = if has_key { "the key and all data" } else { "all data" };
    Error::invalid(
        format!("http to {host} would send {what} unencrypted"),
        "use https; or, where something else encrypts the way there, allow plain http (option \
         --api-plain-http, TASKER_API_PLAIN_HTTP=true)",
    )
}

fn headers(key: Option<&str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    // A key read from a file ends with a line end.
    if let Some(key) = key.map(str::trim).filter(|key| !key.is_empty()) {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
            Error::invalid(
                "the key of the API has characters that no key has".to_owned(),
                "copy it once more",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>> {
    let wrong = |why: String| {
        Error::invalid(
            format!("the CA of the API {why}"),
            "give a file in PEM: -----BEGIN CERTIFICATE----- …",
        )
    };
    let found = Certificate::from_pem_bundle(pem)
        .map_err(|error| wrong(format!("cannot be read: {}", answer::causes(&error))))?;
    if found.is_empty() { Err(wrong("holds no certificate".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests;
