//! What an answer says: the form of its body, and, of an API that knows nothing of steps, the
//! result.

use crate::{
    StepError,
    capabilities::{ApiResponse, without_bom},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the headers of an answer say about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, which must be readable.
    Json,
    /// Anything.
    Text,
}

impl Form {
    pub(super) fn of(response: &ApiResponse) -> Result<Self, StepError> {
        let headers = response.headers();
        let header = |name| headers.iter().find(|(key, _)| key == name).map(|(_, text)| &**text);
        if let Some(encoding) = header("content-encoding").filter(|name| *name != "identity") {
            let text = format!("the answer is encoded as {encoding:?}, which nobody asked for");
            return Err(unreadable(StepError::permanent(text)));
        }
        let media = header("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = matches!(&*media, "application/json" | "text/json") || media.ends_with("+json");
        Ok(if json { Self::Json } else { Self::Text })
    }
}

/// The error of an answer that cannot be a result.
fn unreadable(error: StepError) -> StepError {
    error.code("invalid_result")
}

/// The answer should be JSON.
pub(super) fn unreadable_json(error: &serde_json::Error) -> StepError {
    let text = format!("the answer cannot be read as JSON: {error}");
    // One that was cut off on its way may be whole the next time.
    unreadable(match error.is_eof() {
        true => StepError::retryable(text),
        false => StepError::permanent(text),
    })
}

/// What of an answer is the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Its body: JSON, or else text.
    #[default]
    Body,
    /// Status, headers, and body.
    Full,
    /// Its body as text.
    Text,
}

/// The result. `is_head`: the answer has no body, whatever its headers say one would be.
pub(super) async fn result(
    response: ApiResponse,
    kind: Kind,
    is_head: bool,
) -> Result<Value, StepError> {
    let status = response.status();
    let bodiless = is_head || matches!(status, 204 | 205 | 304);
    let form = if bodiless { Form::Text } else { Form::of(&response)? };
    let headers = if kind == Kind::Full { headers(&response) } else { Map::new() };
    let body = response.bytes().await?;
    match kind {
        Kind::Body => read(&body, form),
        Kind::Text => Ok(text(&body)),
        Kind::Full => Ok(json!({"status": status, "headers": headers, "body": read(&body, form)?})),
    }
}

/// Headers by name; the values of one that came several times are joined, as HTTP allows.
fn headers(response: &ApiResponse) -> Map<String, Value> {
    let mut headers = Map::new();
    for (name, value) in response.headers() {
        match headers.get_mut(&name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            _ => drop(headers.insert(name, Value::String(value))),
        }
    }
    headers
}

/// Null without a body. What is said to be JSON has to be; of all else, what reads as an object or
/// an array is one, and the rest is text: a name does not become a number on the day that it is
/// `007`.
fn read(body: &[u8], form: Form) -> Result<Value, StepError> {
    let json = without_bom(body).trim_ascii();
    match json.first() {
        None => Ok(Value::Null),
        Some(_) if form == Form::Json => {
            serde_json::from_slice(json).map_err(|error| unreadable_json(&error))
        }
        Some(b'{' | b'[') => Ok(serde_json::from_slice(json).unwrap_or_else(|_| text(body))),
        Some(_) => Ok(text(body)),
    }
}

fn text(body: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(without_bom(body)).into_owned())
}
