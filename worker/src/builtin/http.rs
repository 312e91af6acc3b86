//! `http`: sends the step as JSON to `config.url` and takes the response as its result.
//!
//! Configuration: `url`; `method` (POST); `headers` (an object of strings); `timeout_seconds` for this
//! one request, within the step's own timeout. Only hosts in TASKER_HTTP_ALLOW are called, and redirects
//! are not followed.

use super::Envelope;
use crate::{StepContext, StepError};
use reqwest::{Client, Method, Response, StatusCode, Url, header, redirect};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tasker_core::StepOutcome;
use tokio::sync::OnceCell;

/// A result is stored in a row and passed to every child.
const MAX_BODY: usize = 1 << 20;
/// What a failure quotes of a response.
const MAX_QUOTE: usize = 500;
/// Longer waits asked for by a server are cut to this.
const MAX_RETRY_AFTER: u64 = 24 * 60 * 60;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The hosts that may be called: `*`, or a list of `host` (any port) and `host:port`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AllowList {
    any: bool,
    entries: Vec<(String, Option<u16>)>,
}

impl AllowList {
    /// Parses the comma-separated form; the error is the entry that is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                list.any = true;
                continue;
            }
            // Read as a URL is, so that case, IPv6, and international names compare equal later.
            let url = Url::parse(&format!("http://{entry}/")).map_err(|_| entry.to_owned())?;
            let host = url.host_str().unwrap_or_default().to_owned();
            let bare = url.path() == "/"
                && url.username().is_empty()
                && url.query().is_none()
                && url.fragment().is_none();
            // Not `url.port()`, which hides the scheme's own.
            let port =
                entry.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port.parse());
            match port.transpose() {
                Ok(port) if bare && !host.is_empty() => list.entries.push((host, port)),
                _ => return Err(entry.to_owned()),
            }
        }
        Ok(list)
    }

    fn allows(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let listed = |(h, port): &(String, Option<u16>)| {
            h == host && port.is_none_or(|p| url.port_or_known_default() == Some(p))
        };
        self.any || self.entries.iter().any(listed)
    }
}

/// Other keys are for the receiver, which gets the whole configuration.
#[derive(Deserialize)]
struct Config {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    timeout_seconds: Option<f64>,
}

/// The handler, with its client: made at the first use, since it loads the system's certificates.
pub(crate) struct Http {
    allow: AllowList,
    client: OnceCell<Client>,
}

impl Http {
    pub(crate) fn new(allow: AllowList) -> Self {
        Self { allow, client: OnceCell::new() }
    }

    pub(crate) async fn run(self: Arc<Self>, ctx: StepContext) -> Result<StepOutcome, StepError> {
        let config: Config = ctx.config()?;
        let url = self.permitted(&config.url)?;
        let name = format!("{} {}", config.method.as_deref().unwrap_or("POST"), shown(&url));
        let request = self.request(url, &config, &ctx).await?;
        let call = async {
            let response = request.send().await.map_err(|error| unreachable(&name, error))?;
            outcome(&name, response).await
        };
        tokio::select! {
            outcome = call => outcome,
            () = ctx.cancelled.cancelled() => Err(StepError::retryable(format!("{name}: cancelled")).code("cancelled")),
        }
    }

    fn permitted(&self, url: &str) -> Result<Url, StepError> {
        let refused = |text: String| StepError::permanent(text).code("invalid_input");
        let url = Url::parse(url).map_err(|error| refused(format!("config.url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(format!("config.url: scheme {} is not http or https", url.scheme())));
        }
        if !self.allow.allows(&url) {
            let host = url.host_str().unwrap_or_default();
            let text = format!(
                "host {host} is not allowed: add it to TASKER_HTTP_ALLOW of the worker (host, host:port, or *)"
            );
            return Err(StepError::permanent(text).code("host_not_allowed"));
        }
        Ok(url)
    }

    async fn request(
        &self,
        url: Url,
        config: &Config,
        ctx: &StepContext,
    ) -> Result<reqwest::RequestBuilder, StepError> {
        let refused = |text: String| StepError::permanent(text).code("invalid_input");
        let method = config.method.as_deref().unwrap_or("POST").to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|error| refused(format!("config.method: {error}")))?;
        let has_body = !matches!(method, Method::GET | Method::HEAD);
        let client = self.client.get_or_try_init(|| async { client() }).await?;
        let mut request = client.request(method, url);
        if let Some(trace) = ctx.traceparent() {
            request = request.header("traceparent", trace);
        }
        for (name, value) in &config.headers {
            let parsed = (name.parse::<header::HeaderName>(), value.parse::<header::HeaderValue>());
            let (Ok(key), Ok(value)) = parsed else {
                return Err(refused(format!("config.headers.{name}: not a valid header")));
            };
            request = request.header(key, value);
        }
        if let Some(seconds) = config.timeout_seconds {
            let timeout = Duration::try_from_secs_f64(seconds);
            request = request
                .timeout(timeout.map_err(|error| refused(format!("config.timeout_seconds: {error}")))?);
        }
        Ok(if has_body { request.json(&Envelope::new(ctx)) } else { request })
    }
}

fn client() -> Result<Client, StepError> {
    // Fails only where the process has one already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = Client::builder()
        .user_agent(concat!("tasker/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    // Tests talk to this machine, whatever proxy its environment names.
    #[cfg(test)]
    let builder = builder.no_proxy();
    Ok(builder.build()?)
}

/// The URL for messages: user, password, and query may be secrets.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn unreachable(name: &str, error: reqwest::Error) -> StepError {
    let code = if error.is_timeout() { "timeout" } else { "connection" };
    // With its sources, which say why, and without the URL's query.
    let error = StepError::from(error.without_url());
    StepError::retryable(format!("{name}: {error}")).code(code)
}

/// What a response means.
async fn outcome(name: &str, response: Response) -> Result<StepOutcome, StepError> {
    let status = response.status();
    if status.is_success() {
        return result(&body(name, response).await?);
    }
    let code = format!("http_{}", status.as_u16());
    if status.is_redirection() {
        let text = format!(
            "{name} answered {status}: redirects are not followed, set config.url to the final address"
        );
        return Err(StepError::permanent(text).code(code));
    }
    let retry_after = retry_after(&response);
    // The status says enough when the body cannot be had.
    let quote = body(name, response).await.unwrap_or_default();
    let quote: String = String::from_utf8_lossy(&quote).chars().take(MAX_QUOTE).collect();
    let text = format!("{name} answered {status}: {quote}");
    let mut error = if may_pass(status) { StepError::retryable(text) } else { StepError::permanent(text) };
    if let Some(delay) = retry_after {
        error = error.retry_after(delay);
    }
    Err(error.code(code))
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The header's form in seconds; a date would depend on two clocks.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER)))
}

async fn body(name: &str, mut response: Response) -> Result<Vec<u8>, StepError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(name, error))? {
        if body.len() + chunk.len() > MAX_BODY {
            let text = format!(
                "{name}: the response is larger than {MAX_BODY} bytes: return a reference to it instead"
            );
            return Err(StepError::permanent(text).code("response_too_large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// JSON is the result, other text a string, nothing null; an object with the key `$tasker` holds an outcome.
fn result(body: &[u8]) -> Result<StepOutcome, StepError> {
    if body.trim_ascii().is_empty() {
        return Ok(StepOutcome::success(()));
    }
    let value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(_) => Value::String(String::from_utf8_lossy(body).into_owned()),
    };
    match value {
        Value::Object(mut object) if object.contains_key("$tasker") => {
            let outcome = object.remove("$tasker").unwrap_or_default();
            serde_json::from_value(outcome).map_err(|error| {
                StepError::permanent(format!("the outcome under $tasker is not valid: {error}"))
                    .code("invalid_outcome")
            })
        }
        value => Ok(StepOutcome::Success { result: value }),
    }
}

#[cfg(test)]
mod tests;
