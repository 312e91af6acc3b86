//! `http`: sends the step as JSON to `config.url` and takes the response as its result.
//!
//! Configuration: `url`; `method` (POST); `headers` (an object of strings); `timeout_seconds` for this
//! one request, within the step's own timeout. Only hosts in TASKER_HTTP_ALLOW are called, and redirects
//! are not followed. The call itself, and what its answer means, is that of [`crate::Api`].

use super::Envelope;
use crate::{
    StepContext, StepError,
    capabilities::{Api, ApiRequest},
};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tasker_core::StepOutcome;

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

/// The handler.
pub(crate) struct Http {
    allow: AllowList,
}

impl Http {
    pub(crate) fn new(allow: AllowList) -> Self {
        Self { allow }
    }

    pub(crate) async fn run(self: Arc<Self>, ctx: StepContext) -> Result<StepOutcome, StepError> {
        let config: Config = ctx.config()?;
        let response = self.request(&config, &ctx)?.send().await?;
        result(&response.bytes().await?)
    }

    fn request(&self, config: &Config, ctx: &StepContext) -> Result<ApiRequest, StepError> {
        let refused = |text: String| StepError::permanent(format!("config.{text}")).code("invalid_input");
        let method = config.method.as_deref().unwrap_or("POST").to_ascii_uppercase();
        let mut request = ctx.request(&method, &config.url);
        if let Some(seconds) = config.timeout_seconds {
            let timeout = Duration::try_from_secs_f64(seconds);
            request = request.timeout(timeout.map_err(|error| refused(format!("timeout_seconds: {error}")))?);
        }
        for (name, value) in &config.headers {
            request = request.header(name, value);
        }
        if !matches!(method.as_str(), "GET" | "HEAD") {
            request = request.json(&Envelope::new(ctx));
        }
        let url = request.url().map_err(|problem| refused(problem.to_owned()))?;
        if !self.allow.allows(url) {
            let host = url.host_str().unwrap_or_default();
            let text = format!(
                "host {host} is not allowed: add it to TASKER_HTTP_ALLOW of the worker (host, host:port, or *)"
            );
            return Err(StepError::permanent(text).code("host_not_allowed"));
        }
        Ok(request)
    }
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
            let form = form(&outcome);
            serde_json::from_value(outcome).map_err(|error| {
                let text = format!("the outcome under $tasker is not valid: {error}; {form}");
                StepError::permanent(text).code("invalid_outcome")
            })
        }
        value => Ok(StepOutcome::Success { result: value }),
    }
}

/// How an outcome of this type is written: an error of serde names no key.
fn form(outcome: &Value) -> &'static str {
    match outcome["type"].as_str().unwrap_or_default() {
        "success" => r#"a success is {"type": "success", "result": any}"#,
        "failure" => {
            r#"a failure is {"type": "failure", "message": string, "retryable": true or false, "code": string, "retry_after_ms": whole number}, all but the message optional"#
        }
        "decision" => {
            r#"a decision is {"type": "decision", "create_steps": [names of steps], "result": any}, the result optional"#
        }
        "batches" => {
            r#"batches are {"type": "batches", "cursors": [any], "worker_step": string, "result": any}, all but the cursors optional"#
        }
        "checkpoint" => {
            r#"a checkpoint is {"type": "checkpoint", "cursor": any, "items_processed": whole number, "accumulated": any}, all but the cursor optional"#
        }
        _ => r#"an outcome is an object whose "type" is success, failure, decision, batches, or checkpoint"#,
    }
}

#[cfg(test)]
mod tests;
