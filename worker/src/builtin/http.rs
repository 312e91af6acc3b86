//! `http`: sends the step as JSON to `config.url` and takes the response as its result.
//!
//! Configuration: `url`; `method` (POST); `headers` (an object of strings); `timeout_seconds` for
//! this one request, within the step's own timeout. Only hosts in TASKER_HTTP_ALLOW are called, and
//! redirects are not followed. A header's value may hold `{secret:NAME}`. The call itself, and what
//! its answer means, is that of [`crate::Api`].
//!
//! With `api: true` it calls an API that knows nothing of steps, see [`api`].

pub(crate) mod allow;
mod answer;
mod api;
pub(crate) mod mask;
mod placeholders;
mod secrets;

use super::envelope::Envelope;
use crate::{
    StepContext, StepError,
    capabilities::{Api, ApiRequest, without_bom},
};
use allow::AllowList;
use answer::{Form, unreadable_json};
use mask::Mask;
use pgtasker_core::StepOutcome;
use reqwest::{Client, Url};
use secrets::Secrets;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// Headers by which a request would no longer be one that ends where it says, or go to whom it
/// names: only we set them.
const OURS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// Other keys are for the receiver, which gets the whole configuration.
#[derive(Deserialize)]
struct Config {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    timeout_seconds: Option<f64>,
}

/// Which of the two it is.
#[derive(Deserialize)]
struct Mode {
    #[serde(default)]
    api: Value,
}

/// The handler.
pub(crate) struct Http {
    allow: AllowList,
    secrets: Secrets,
    /// Made at the first use, since that loads the system's certificates.
    client: OnceCell<Client>,
}

impl Http {
    /// With the secrets below TASKER_SECRETS_FOLDER.
    pub(crate) fn new(allow: AllowList) -> Self {
        let folder = std::env::var_os("TASKER_SECRETS_FOLDER").filter(|folder| !folder.is_empty());
        Self { allow, secrets: Secrets::new(folder.map(PathBuf::from)), client: OnceCell::new() }
    }

    pub(crate) async fn run(self: Arc<Self>, ctx: StepContext) -> Result<StepOutcome, StepError> {
        if ctx.config::<Mode>()?.api == Value::Bool(true) {
            return api::run(&self, &ctx).await;
        }
        let config: Config = ctx.config()?;
        let request = self.request(&config, &ctx)?;
        let response = request.through(self.client().await?).send().await?;
        let form = Form::of(&response)?;
        // Neither has a body, whatever its headers say one would be.
        let bodiless = response.status() == 204
            || config.method.as_deref().is_some_and(|method| method.eq_ignore_ascii_case("HEAD"));
        result(&response.bytes().await?, if bodiless { Form::Text } else { form })
    }

    async fn client(&self) -> Result<Client, StepError> {
        let proxy = std::env::var("TASKER_HTTP_PROXY").ok().filter(|proxy| !proxy.is_empty());
        let client =
            self.client.get_or_try_init(|| async { allow::client(&self.allow, proxy.as_deref()) });
        Ok(client.await?.clone())
    }

    fn request(&self, config: &Config, ctx: &StepContext) -> Result<ApiRequest, StepError> {
        let method = config.method.as_deref().unwrap_or("POST").to_ascii_uppercase();
        let mut request = ctx.request(&method, &config.url);
        if let Some(seconds) = config.timeout_seconds {
            request = request.timeout(timeout_of(seconds)?);
        }
        let url = request.url().map_err(|problem| refused(problem.to_owned()))?.clone();
        self.judge(&url)?;
        let mut mask = Mask::default();
        for (name, value) in &config.headers {
            if OURS.contains(&name.trim().to_ascii_lowercase().as_str()) {
                return Err(refused(format!(
                    "headers.{name}: this header is set by the handler alone"
                )));
            }
            request = match value.contains("{secret:") {
                false => request.header(name, value),
                true => {
                    let filled = self.secrets.fill(value, &url, &mut mask);
                    let filled =
                        filled.map_err(|problem| refused(format!("headers.{name}: {problem}")))?;
                    request.secret_header(name, &filled)
                }
            };
        }
        if !matches!(method.as_str(), "GET" | "HEAD") {
            request = request.json(&Envelope::new(ctx));
        }
        request.url().map_err(|problem| refused(problem.to_owned()))?;
        Ok(request.masking(mask))
    }

    /// Whether the URL may be called.
    fn judge(&self, url: &Url) -> Result<(), StepError> {
        if self.allow.allows(url) {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let text = format!(
            "host {host} is not allowed: add it to TASKER_HTTP_ALLOW of the worker (host, \
             host:port, or *, which names no loopback, private, or link-local address)"
        );
        Err(StepError::permanent(text).code("host_not_allowed"))
    }
}

/// The configuration cannot be used; `text` begins with the key.
fn refused(text: String) -> StepError {
    StepError::permanent(format!("config.{text}")).code("invalid_input")
}

fn timeout_of(seconds: f64) -> Result<Duration, StepError> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| refused(format!("timeout_seconds: {error}")))
}

/// JSON is the result, other text a string, nothing null; an object with the key `$tasker` holds an
/// outcome. What is said to be JSON, or begins like an object or array, is no text: a part of it
/// may have said that the step failed.
fn result(body: &[u8], kind: Form) -> Result<StepOutcome, StepError> {
    let body = without_bom(body);
    if body.trim_ascii().is_empty() && kind == Form::Text {
        return Ok(StepOutcome::success(()));
    }
    let value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(error)
            if kind == Form::Json
                || matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) =>
        {
            return Err(unreadable_json(&error));
        }
        Err(_) => Value::String(String::from_utf8_lossy(body).into_owned()),
    };
    match value {
        Value::Object(mut object) if object.contains_key("$tasker") => {
            let outcome = object.remove("$tasker").unwrap_or_default();
            let form = form(&outcome);
            StepOutcome::from_json(&outcome).map_err(|error| {
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
        "failure" => concat!(
            r#"a failure is {"type": "failure", "message": string, "retryable": true or false, "#,
            r#""code": string, "retry_after_ms": whole number}, all but the message optional"#
        ),
        "decision" => concat!(
            r#"a decision is {"type": "decision", "create_steps": [names of steps], "#,
            r#""result": any}, the result optional"#
        ),
        "batches" => concat!(
            r#"batches are {"type": "batches", "cursors": [any], "worker_step": string, "#,
            r#""result": any}, all but the cursors optional"#
        ),
        "checkpoint" => concat!(
            r#"a checkpoint is {"type": "checkpoint", "cursor": any, "#,
            r#""items_processed": whole number, "accumulated": any}, all but the cursor optional"#
        ),
        "skip" => r#"a skip is {"type": "skip"}"#,
        _ => concat!(
            r#"an outcome is an object whose "type" is success, failure, decision, "#,
            "batches, checkpoint, or skip"
        ),
    }
}

#[cfg(test)]
mod tests;
