//! What another service has answered, and what a refusal of it means.

use crate::{
    StepError,
    builtin::http::{allow::Refused, mask::Mask},
    fields::typed,
};
use reqwest::{
    Response, StatusCode,
    header::{DATE, HeaderValue, RETRY_AFTER},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::to_raw_value};
use std::{
    fmt,
    time::{Duration, SystemTime},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Characters that a failure quotes of a response.
const MAX_QUOTE: usize = 500;
/// How long a failure waits for what it quotes.
const QUOTE_WAIT: Duration = Duration::from_secs(2);
/// Longer waits asked for by a server are cut to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer that is no failure.
pub struct ApiResponse {
    /// Method and URL, for messages.
    pub(super) name: String,
    pub(super) response: Response,
    pub(super) max_bytes: usize,
    pub(super) cancelled: CancellationToken,
    pub(super) mask: Mask,
}

impl ApiResponse {
    /// 200 and the like.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header, where it is there and UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.response.headers().get(name)?.as_bytes()).ok()
    }

    /// All headers, their names in lower case. A value that is not UTF-8 is read as ISO 8859-1, as
    /// HTTP once said.
    pub fn headers(&self) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| {
            // First, as secrets are known as bytes.
            let bytes = self.mask.apply(value.as_bytes().to_vec(), false);
            String::from_utf8(bytes)
                .unwrap_or_else(|error| error.into_bytes().iter().map(|b| char::from(*b)).collect())
        };
        let headers = self.response.headers().iter();
        headers.map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    /// The whole body.
    ///
    /// # Errors
    /// A permanent one, `response_too_large`, see
    /// [`ApiRequest::max_bytes`](super::ApiRequest::max_bytes). A retryable one, when the
    /// connection is lost.
    pub async fn bytes(mut self) -> Result<Vec<u8>, StepError> {
        let mut body = Vec::new();
        loop {
            let chunk =
                unless_cancelled(&self.cancelled, &self.name, self.response.chunk()).await?;
            let Some(chunk) = chunk.map_err(|error| unreachable(&self.name, error))? else {
                return Ok(self.mask.apply(body, false));
            };
            if body.len() + chunk.len() > self.max_bytes {
                let text = format!(
                    "{}: the response is larger than {} bytes: let it be a reference instead",
                    self.name, self.max_bytes
                );
                return Err(StepError::permanent(text).code("response_too_large"));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The body as text; what is not UTF-8 is replaced.
    ///
    /// # Errors
    /// As [`ApiResponse::bytes`].
    pub async fn text(self) -> Result<String, StepError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// As [`ApiResponse::bytes`]; and a permanent one that names the field, `invalid_response`,
    /// when it does not fit `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, StepError> {
        let name = self.name.clone();
        let body = self.bytes().await?;
        let invalid =
            |why: String| StepError::permanent(format!("{name}: {why}")).code("invalid_response");
        let value: Value = serde_json::from_slice(without_bom(&body))
            .map_err(|error| invalid(format!("body: {error}")))?;
        let text = to_raw_value(&value).map_err(|error| invalid(format!("body: {error}")))?;
        typed("body", &text).map_err(|error| invalid(error.message().to_owned()))
    }

    /// What an answer with another status means.
    pub(super) async fn refusal(mut self) -> StepError {
        let (status, name) = (self.response.status(), self.name.clone());
        let code = format!("http_{}", status.as_u16());
        if status.is_redirection() {
            let text = format!(
                "{name} answered {status}: redirects are not followed, use the final address"
            );
            return StepError::permanent(text).code(code);
        }
        let delay = retry_after(&self.response);
        let quote = self.beginning().await;
        let quote: String = String::from_utf8_lossy(&quote).chars().take(MAX_QUOTE).collect();
        let unlisted =
            if status.is_success() { ", which is not one of the accepted statuses" } else { "" };
        let text = match quote.as_str() {
            "" => format!("{name} answered {status}{unlisted}"),
            quote => format!("{name} answered {status}{unlisted}: {quote}"),
        };
        let error =
            if may_pass(status) { StepError::retryable(text) } else { StepError::permanent(text) };
        match delay {
            Some(delay) => error.retry_after(delay),
            None => error,
        }
        .code(code)
    }

    /// As much of the body as a failure quotes, where it comes soon: the status says enough without
    /// it.
    async fn beginning(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        // No character has more than four bytes.
        let enough = 4 * MAX_QUOTE + self.mask.longest();
        let read = async {
            while body.len() < enough
                && let Ok(Some(chunk)) = self.response.chunk().await
            {
                body.extend_from_slice(&chunk);
            }
        };
        // None of the ways in which this ends changes what is known.
        timeout(QUOTE_WAIT, self.cancelled.run_until_cancelled(read)).await.ok();
        self.mask.apply(body, true)
    }
}

impl fmt::Debug for ApiResponse {
    /// Never shows headers or body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiResponse")
            .field("name", &self.name)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

/// How long the server asks to wait. A date is measured by the server's own clock where the answer
/// tells it.
fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name| response.headers().get(name)?.to_str().ok().map(str::trim);
    let after = header(RETRY_AFTER)?;
    let delay = match after.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = httpdate::parse_http_date(after).ok()?;
            let now = header(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
            at.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default()
        }
    };
    Some(delay.min(MAX_RETRY_AFTER))
}

/// The body without the byte order mark that some services begin UTF-8 with.
pub(crate) fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

pub(super) async fn unless_cancelled<T>(
    cancelled: &CancellationToken,
    name: &str,
    call: impl Future<Output = T>,
) -> Result<T, StepError> {
    let done = cancelled.run_until_cancelled(call).await;
    done.ok_or_else(|| StepError::retryable(format!("{name}: cancelled")).code("cancelled"))
}

pub(super) fn unreachable(name: &str, error: reqwest::Error) -> StepError {
    if let Some(refused) = Refused::of(&error) {
        return StepError::permanent(format!("{name}: {refused}")).code("host_not_allowed");
    }
    let code = if error.is_timeout() { "timeout" } else { "connection" };
    // With its sources, which say why, and without the URL's query.
    let error = StepError::from(error.without_url());
    StepError::retryable(format!("{name}: {error}")).code(code)
}
