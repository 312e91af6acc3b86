//! What an answer means: a value, a problem of RFC 9457, or something that no Tasker says.

use crate::{Error, Result};
use pgtasker_core::json;
use reqwest::{
    Response, StatusCode, Url,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{error::Error as StdError, time::Duration};

/// Longer waits asked for by a server are cut to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Characters of an answer that is quoted.
const MAX_QUOTE: usize = 200;

/// A problem as the API answers it.
#[derive(Deserialize)]
struct Problem {
    code: String,
    title: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    hint: Option<String>,
}

/// An answer that has come to its end.
pub(super) struct Answer {
    /// Method and URL, for messages.
    name: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) async fn read(name: String, response: Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        // A 204 has none.
        let body = response.bytes().await?.to_vec();
        Ok(Self { name, status, headers, body })
    }

    pub(super) fn into_result<T: DeserializeOwned>(self) -> Result<T> {
        if !self.status.is_success() {
            return Err(self.into_error());
        }
        let body =
            if self.body.is_empty() { "null".into() } else { String::from_utf8_lossy(&self.body) };
        json::from_text(&body).map_err(|error| {
            self.protocol(&format!("the answer is not what this version of the API says: {error}"))
        })
    }

    /// Whatever its status, if it is a value of this type.
    pub(super) fn into_value<T: DeserializeOwned>(self) -> Result<T> {
        serde_json::from_slice(&self.body).or_else(|_| self.into_result())
    }

    fn into_error(self) -> Error {
        let away = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        );
        let problem = serde_json::from_slice::<Problem>(&self.body);
        match problem {
            Ok(Problem { code, title, detail, hint }) if code.starts_with("TK") => {
                Error::Refused { code, message: detail.unwrap_or(title), hint }
            }
            Ok(Problem { code, title, detail, .. }) if away => {
                let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
                Error::Unavailable {
                    message: format!("{}: {title}{detail} ({code})", self.name),
                    retry_after: retry_after(&self.headers),
                }
            }
            Ok(Problem { code, title, detail, hint }) => {
                Error::Api { status: self.status.as_u16(), code, title, detail, hint }
            }
            Err(_) if away => Error::Unavailable {
                message: format!("{}: {}", self.name, self.status),
                retry_after: retry_after(&self.headers),
            },
            Err(_) => self.unknown(),
        }
    }

    /// The answer of something else than a Tasker, or of a proxy before it.
    fn unknown(&self) -> Error {
        let to = self.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        match (self.status.is_redirection(), to) {
            (true, Some(to)) => self.protocol(&format!(
                "{} to {to}; it is not followed, as the key is for this server only: give the URL \
                 that it leads to",
                self.status
            )),
            _ => {
                let text = String::from_utf8_lossy(&self.body);
                let quote: String = text.trim().chars().take(MAX_QUOTE).collect();
                let quote = if quote.is_empty() { quote } else { format!(": {quote:?}") };
                self.protocol(&format!("{}{quote}; is this the URL of a Tasker?", self.status))
            }
        }
    }

    fn protocol(&self, what: &str) -> Error {
        Error::Protocol(format!("{}: {what}", self.name))
    }
}

/// The URL for messages.
pub(super) fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// No answer came, or it broke off.
pub(super) fn away(base: &Url, error: reqwest::Error) -> Error {
    let what = if error.is_timeout() { "gave no answer in time" } else { "cannot be reached" };
    let message = format!("the API at {} {what}: {}", shown(base), root(&error.without_url()));
    Error::Unavailable { message, retry_after: None }
}

/// The innermost cause, which for a broken connection says the most.
fn root(error: &(dyn StdError + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// The error with its causes, each said once.
pub(super) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(source) = at {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        at = source.source();
    }
    text
}

/// How long the server asks to wait, in seconds; our server sends no date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}
