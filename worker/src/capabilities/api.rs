//! `Api`: calls over HTTP that know of their step. The `http` handler makes its calls by the same
//! code.

mod response;

pub use response::ApiResponse;
pub(crate) use response::without_bom;

use crate::{StepContext, StepError, builtin::http::mask::Mask};
use reqwest::{
    Client, Method, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use response::{unless_cancelled, unreachable};
use serde::Serialize;
use serde_json::Value;
use std::{fmt, time::Duration};

/// A result is stored in a row and passed to every child; more is asked for by
/// [`ApiRequest::max_bytes`].
const MAX_BODY: usize = 1 << 20;

/// For handlers that call other services.
///
/// Every request carries `Idempotency-Key`, see [`Api::idempotency_key`]; `Tasker-Attempt`; and
/// `traceparent` where the task has one. 5xx, 408, 425, 429, a timeout, and a connection error are
/// retryable, with the server's Retry-After as the delay (seconds or a date, a day at most); any
/// other 4xx and redirects, which are not followed, are permanent.
///
/// ```
/// # use pgtasker_worker::{StepContext, StepError, StepOutcome};
/// use std::time::Duration;
/// use pgtasker_worker::Api;
///
/// async fn charge(ctx: StepContext) -> Result<StepOutcome, StepError> {
///     let order: serde_json::Value = ctx.context()?;
///     let request = ctx.post("https://payments.example/charges").json(&order);
///     let response = request.timeout(Duration::from_secs(10)).send().await?;
///     let receipt: serde_json::Value = response.json().await?;
///     Ok(StepOutcome::success(receipt))
/// }
/// ```
pub trait Api {
    /// A request by this method to this URL, http or https. Any host: TASKER_HTTP_ALLOW is for the
    /// `http` handler, whose URLs come from templates.
    fn request(&self, method: &str, url: &str) -> ApiRequest;

    /// A GET.
    fn get(&self, url: &str) -> ApiRequest {
        self.request("GET", url)
    }

    /// A POST.
    fn post(&self, url: &str) -> ApiRequest {
        self.request("POST", url)
    }

    /// A PUT.
    fn put(&self, url: &str) -> ApiRequest {
        self.request("PUT", url)
    }

    /// A DELETE.
    fn delete(&self, url: &str) -> ApiRequest {
        self.request("DELETE", url)
    }

    /// `<task id>:<step>`, the same on every attempt; after a checkpoint `<task id>:<step>:<hash>`,
    /// with 16 hexadecimal digits of what the step saved last, the same on every attempt from
    /// there. What a receiver answered before the checkpoint it does not repeat after it. For calls
    /// that are not made by this trait, too.
    fn idempotency_key(&self) -> String;
}

impl Api for StepContext {
    fn request(&self, method: &str, url: &str) -> ApiRequest {
        let parts = parts(self, method, url);
        ApiRequest {
            ctx: self.clone(),
            parts,
            max_bytes: MAX_BODY,
            allowed: Vec::new(),
            only: None,
            client: None,
            mask: Mask::default(),
        }
    }

    fn idempotency_key(&self) -> String {
        let key = format!("{}:{}", self.task_id(), self.step());
        match self.claim.checkpoint.get() {
            "null" => key,
            saved => format!("{key}:{:016x}", stable_hash(saved)),
        }
    }
}

/// FNV-1a of the canonical JSON: the same in every release and build, since two attempts may run in
/// different ones. JSON nested too deep for that is hashed as text.
fn stable_hash(text: &str) -> u64 {
    let canonical = serde_json::from_str(text).map(|mut value: Value| {
        value.sort_all_objects();
        value.to_string()
    });
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    canonical.as_deref().unwrap_or(text).bytes().fold(0xcbf2_9ce4_8422_2325, fold)
}

/// A request to be sent; made by [`Api`]. What is wrong with it shows as a permanent error of
/// [`ApiRequest::send`].
#[must_use = "nothing is sent without .send()"]
pub struct ApiRequest {
    ctx: StepContext,
    /// Or what is wrong with them.
    parts: Result<Parts, String>,
    max_bytes: usize,
    allowed: Vec<u16>,
    /// No other one is accepted, also none of 200 to 299.
    only: Option<Vec<u16>>,
    /// Another one than the worker's own.
    client: Option<Client>,
    /// What the answer must not tell.
    mask: Mask,
}

struct Parts {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

fn parts(ctx: &StepContext, method: &str, url: &str) -> Result<Parts, String> {
    let method = method.to_ascii_uppercase();
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|error| format!("method: {error}"))?;
    let url = Url::parse(url).map_err(|error| format!("url: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("url: scheme {} is not http or https", url.scheme()));
    }
    let mut parts =
        Parts { method, url, headers: HeaderMap::new(), body: Vec::new(), timeout: None };
    parts.header("idempotency-key", &ctx.idempotency_key())?;
    parts.header("tasker-attempt", &ctx.attempt().to_string())?;
    if let Some(trace) = ctx.traceparent() {
        // It came with the task: what is no header is no reason to fail.
        parts.header("traceparent", trace).ok();
    }
    Ok(parts)
}

impl Parts {
    fn header(&mut self, name: &str, value: &str) -> Result<(), String> {
        let parsed = (name.parse::<HeaderName>(), value.parse::<HeaderValue>());
        let (Ok(key), Ok(value)) = parsed else {
            return Err(format!("headers.{name}: not a valid header"));
        };
        self.headers.insert(key, value);
        Ok(())
    }
}

impl ApiRequest {
    /// Sets a header, also in place of one that would be sent by itself.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|parts| parts.header(name, value))
    }

    /// A body of JSON.
    pub fn json(self, body: &impl Serialize) -> Self {
        self.with(|parts| {
            parts.body = serde_json::to_vec(body).map_err(|error| format!("body: {error}"))?;
            parts
                .headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
            Ok(())
        })
    }

    /// Any other body.
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.with(|parts| {
            parts.body = body.into();
            parts.header("content-type", content_type)
        })
    }

    /// For the whole of the call, within the step's own timeout; by default there is only that one,
    /// and 10 s to connect.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|parts| {
            parts.timeout = Some(timeout);
            Ok(())
        })
    }

    /// Makes the Idempotency-Key [`Api::idempotency_key`]`:<suffix>`. Needed by a step that makes
    /// several calls: with one key the receiver takes them for one.
    pub fn idempotency_suffix(self, suffix: impl fmt::Display) -> Self {
        let key = format!("{}:{suffix}", self.ctx.idempotency_key());
        self.with(|parts| parts.header("idempotency-key", &key))
    }

    /// An answer with this status is no failure: the handler looks at [`ApiResponse::status`].
    pub fn allow_status(mut self, status: u16) -> Self {
        self.allowed.push(status);
        self
    }

    /// An answer with another status is a failure, also with one of 200 to 299.
    pub(crate) fn only_statuses(mut self, only: Vec<u16>) -> Self {
        self.only = Some(only);
        self
    }

    /// The largest body that is read, 1 MiB by default; a larger one is a permanent error.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Parts) -> Result<(), String>) -> Self {
        if let Ok(parts) = &mut self.parts
            && let Err(problem) = change(parts)
        {
            self.parts = Err(problem);
        }
        self
    }

    /// By this client.
    pub(crate) fn through(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Takes this out of the answer, whatever it is.
    pub(crate) fn masking(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    /// A header that no log shows.
    pub(crate) fn secret_header(self, name: &str, value: &str) -> Self {
        self.with(|parts| {
            parts.header(name, value)?;
            if let Some(value) = parts.headers.get_mut(name) {
                value.set_sensitive(true);
            }
            Ok(())
        })
    }

    /// The URL, or what is wrong with the request.
    pub(crate) fn url(&self) -> Result<&Url, &str> {
        self.parts.as_ref().map(|parts| &parts.url).map_err(String::as_str)
    }

    /// Sends it and waits for status and headers.
    ///
    /// # Errors
    /// See [`Api`]; the codes are `http_<status>`, `timeout`, `connection`, `cancelled` (the step
    /// was), and `invalid_input` (the request is not a valid one).
    pub async fn send(self) -> Result<ApiResponse, StepError> {
        let invalid = |problem| StepError::permanent(problem).code("invalid_input");
        let Parts { method, url, headers, body, timeout } = self.parts.map_err(invalid)?;
        let name = format!("{method} {}", shown(&url));
        let client = match &self.client {
            Some(client) => client,
            None => self.ctx.http.get().await?,
        };
        let mut request = client.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let cancelled = self.ctx.cancelled.clone();
        let sent = unless_cancelled(&cancelled, &name, request.send()).await?;
        let response = sent.map_err(|error| unreachable(&name, error))?;
        let answer =
            ApiResponse { name, response, max_bytes: self.max_bytes, cancelled, mask: self.mask };
        let status = answer.response.status();
        let accepted = match &self.only {
            Some(only) => only.contains(&status.as_u16()),
            None => status.is_success() || self.allowed.contains(&status.as_u16()),
        };
        if accepted {
            return Ok(answer);
        }
        Err(answer.refusal().await)
    }
}

impl fmt::Debug for ApiRequest {
    /// Never shows headers, query, or body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRequest").field("url", &self.url().map(shown)).finish_non_exhaustive()
    }
}

/// The URL for messages: user, password, and query may be secrets.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}
