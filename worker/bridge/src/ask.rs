//! What a running step asks of the worker.

use crate::{call::Call, item::text, reply::Reply};
use base64::{Engine, engine::general_purpose::STANDARD};
use pgtasker_core::ClaimStatus;
use pgtasker_worker::{Api, ApiRequest, Batchable, Failure, Instance, Prepared, StepError};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Publishes an event with the step's result.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    name: String,
    payload: Value,
}

/// The instances of a batch, from behind this number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchPage {
    step: String,
    #[serde(default)]
    after: i32,
    size: Option<u32>,
}

/// The parents behind this one, by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParentPage {
    after: Option<String>,
}

/// A request over HTTP; `body` is Base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Null is a body, too.
    #[serde(default, deserialize_with = "some")]
    json: Option<Box<RawValue>>,
    body: Option<String>,
    timeout_ms: Option<u64>,
    idempotency_suffix: Option<String>,
    #[serde(default)]
    allow_status: Vec<u16>,
    max_bytes: Option<usize>,
}

fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(from).map(Some)
}

/// The end of the step in a transaction of the language's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prepare {
    outcome: Box<RawValue>,
}

/// That transaction's last statement has said this; not `accepted`, it was rolled back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    status: ClaimStatus,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The answer: `{"value": …}`, or `{"error": {…}}` with the fields of a failure, which the
/// language raises.
pub(crate) async fn answer(call: Option<Arc<Call>>, what: &str, arguments: &str) -> String {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    }
    let answered = match call {
        Some(call) => asked(&call, what, arguments).await,
        None => Err(StepError::permanent("this step has ended").code("step_ended")),
    };
    match answered {
        Ok(value) => text(&Answer { value: Some(&value), error: None }),
        Err(error) => text(&Answer { value: None, error: Some(error.into()) }),
    }
}

async fn asked(call: &Arc<Call>, what: &str, arguments: &str) -> Result<Box<RawValue>, StepError> {
    let ask = Ask { what, arguments };
    match what {
        "publish" => {
            let Publish { name, payload } = ask.read()?;
            call.ctx.publish(&name, payload);
            raw(&())
        }
        "batch_page" => batch_page(call, ask.read()?).await,
        "parent_page" => parent_page(call, ask.read()?).await,
        "http" => http(call, ask.read()?).await,
        "prepare" => prepare(call, ask.read()?).await,
        "refused" => {
            let Refused { status } = ask.read()?;
            let Some(prepared) = call.take_prepared() else { return Err(not_prepared()) };
            let error = prepared.refused(&status).await;
            call.tell(error.clone());
            Err(error)
        }
        "commits" => {
            let Nothing {} = ask.read()?;
            if call.commits() { raw(&()) } else { Err(not_prepared()) }
        }
        "committed" => {
            let Nothing {} = ask.read()?;
            if call.committed() { raw(&()) } else { Err(not_prepared()) }
        }
        _ => Err(StepError::permanent(format!("nothing is called {what:?}"))),
    }
}

struct Ask<'a> {
    what: &'a str,
    arguments: &'a str,
}

impl Ask<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        serde_json::from_str(self.arguments).map_err(|error| {
            StepError::permanent(format!("{}: {error}", self.what)).code("invalid_input")
        })
    }
}

fn not_prepared() -> StepError {
    StepError::permanent("this step has prepared no end in a transaction of its own")
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, StepError> {
    Ok(serde_json::value::to_raw_value(value)?)
}

/// Null: there are no more.
async fn batch_page(call: &Call, asked: BatchPage) -> Result<Box<RawValue>, StepError> {
    let mut pages = call.ctx.batch(&asked.step)?.pages::<Box<RawValue>>().after(asked.after);
    if let Some(size) = asked.size {
        pages = pages.page_size(size);
    }
    let page = pages.next_page().await?;
    raw(&page.map(|page| page.into_iter().map(BatchInstance::from).collect::<Vec<_>>()))
}

#[derive(Serialize)]
struct BatchInstance {
    number: i32,
    step: String,
    state: String,
    inputs: Value,
    result: Option<Box<RawValue>>,
    error: Option<Value>,
}

impl From<Instance<Box<RawValue>>> for BatchInstance {
    fn from(instance: Instance<Box<RawValue>>) -> Self {
        let Instance { number, step, state, inputs, result, error } = instance;
        Self { number, step, state: state.to_string(), inputs, result, error }
    }
}

/// Pairs of name and result; null: there are no more.
async fn parent_page(call: &Call, asked: ParentPage) -> Result<Box<RawValue>, StepError> {
    let mut pages = call.ctx.parent_pages().after(asked.after);
    raw(&pages.next_page::<Box<RawValue>>().await?)
}

async fn http(call: &Call, asked: Http) -> Result<Box<RawValue>, StepError> {
    #[derive(Serialize)]
    struct Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    }
    let response = request(call, asked)?.send().await?;
    let status = response.status();
    let headers = response.headers();
    let body = STANDARD.encode(response.bytes().await?);
    raw(&Response { status, headers, body })
}

fn request(call: &Call, asked: Http) -> Result<ApiRequest, StepError> {
    let mut request = call.ctx.request(&asked.method, &asked.url);
    if let Some(json) = &asked.json {
        request = request.json(json);
    }
    if let Some(body) = &asked.body {
        let body = STANDARD.decode(body).map_err(|error| {
            StepError::permanent(format!("http: body: {error}")).code("invalid_input")
        })?;
        request = request.body("application/octet-stream", body);
    }
    if let Some(suffix) = &asked.idempotency_suffix {
        request = request.idempotency_suffix(suffix);
    }
    for (name, value) in &asked.headers {
        request = request.header(name, value);
    }
    if let Some(limit) = asked.timeout_ms {
        request = request.timeout(Duration::from_millis(limit));
    }
    for status in asked.allow_status {
        request = request.allow_status(status);
    }
    if let Some(bytes) = asked.max_bytes {
        request = request.max_bytes(bytes);
    }
    Ok(request)
}

async fn prepare(call: &Call, asked: Prepare) -> Result<Box<RawValue>, StepError> {
    #[derive(Serialize)]
    struct Statement {
        statement: &'static str,
        parameters: [String; 4],
    }
    let Reply::Outcome(outcome) = Reply::read(asked.outcome.get()) else {
        return Err(Reply::invalid("a transaction ends its step with one"));
    };
    let prepared = call.ctx.prepare(outcome, call.since().elapsed()).await?;
    let parameters = prepared.parameters();
    call.set_prepared(prepared);
    raw(&Statement { statement: Prepared::STATEMENT, parameters })
}
