//! `http` with `api: true`: a call of an API that was not written for Tasker. The template says
//! what is sent, with values of the step's inputs in it, and what of the answer is the result.
//!
//! A value can change nothing but its own place: no host, no other path, no second parameter, no
//! other header, no secret. And an answer is only a result: `$tasker` means nothing in it.

use super::{
    Http, OURS, answer,
    mask::Mask,
    placeholders::{Inputs, Part, encode, no_secret, parts},
    refused, timeout_of,
};
use crate::{
    StepContext, StepError,
    capabilities::{Api, ApiRequest},
};
use pgtasker_core::StepOutcome;
use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};
use serde_json::Value;
use std::collections::BTreeMap;

/// The longest URL: hyper takes 64 KiB, most servers less.
const MAX_URL: usize = 60_000;

/// All that a template can say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(rename = "api")]
    _api: bool,
    url: String,
    method: Option<String>,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    json: Option<Value>,
    form: Option<BTreeMap<String, Value>>,
    text: Option<String>,
    ok: Option<Vec<u16>>,
    #[serde(default)]
    response: answer::Kind,
    timeout_seconds: Option<f64>,
}

/// A null that is there is a value.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Config {
    /// GET, or POST with a body.
    fn method(&self) -> Result<String, String> {
        let bodies = [self.json.is_some(), self.form.is_some(), self.text.is_some()];
        let bodies = bodies.into_iter().filter(|there| *there).count();
        if bodies > 1 {
            return Err("json, form, and text: a request has only one body".to_owned());
        }
        let method = match &self.method {
            Some(method) => method.to_ascii_uppercase(),
            None if bodies == 0 => "GET".to_owned(),
            None => "POST".to_owned(),
        };
        match method.as_str() {
            "GET" | "HEAD" if bodies > 0 => Err(format!("method: a {method} has no body")),
            "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => Ok(method),
            _ => Err("method: it is GET, HEAD, POST, PUT, PATCH, DELETE, or OPTIONS".to_owned()),
        }
    }
}

/// Sends the request and takes the answer as the result.
pub(super) async fn run(http: &Http, ctx: &StepContext) -> Result<StepOutcome, StepError> {
    let config: Config = ctx.config()?;
    let method = config.method().map_err(refused)?;
    let request = request(http, &config, &method, ctx)?;
    let response = request.through(http.client().await?).send().await?;
    let result = answer::result(response, config.response, method == "HEAD").await?;
    Ok(StepOutcome::Success { result })
}

fn request(
    http: &Http,
    config: &Config,
    method: &str,
    ctx: &StepContext,
) -> Result<ApiRequest, StepError> {
    let inputs = Inputs::of(ctx.inputs_json());
    let mut url = url(&config.url, &inputs).map_err(|why| refused(format!("url: {why}")))?;
    // Before any secret is looked at.
    http.judge(&url)?;
    let mut mask = Mask::default();
    let query = query(http, config, &inputs, &url, &mut mask).map_err(refused)?;
    if !query.is_empty() {
        let own = url.query().filter(|own| !own.is_empty()).map(|own| format!("{own}&"));
        url.set_query(Some(&(own.unwrap_or_default() + &query)));
    }
    if url.as_str().len() > MAX_URL {
        return Err(refused(format!("url: with its values it has over {MAX_URL} bytes")));
    }
    let mut request = body(ctx.request(method, url.as_str()), config, &inputs, method)?;
    if let Some(ok) = &config.ok {
        if ok.is_empty() {
            return Err(refused("ok: it needs at least one status".to_owned()));
        }
        request = request.only_statuses(ok.clone());
    }
    if let Some(seconds) = config.timeout_seconds {
        request = request.timeout(timeout_of(seconds)?);
    }
    for (name, template) in &config.headers {
        request = header(http, request, (name, template), &inputs, &url, &mut mask)
            .map_err(|why| refused(format!("headers.{name}: {why}")))?;
    }
    request.url().map_err(|problem| refused(problem.to_owned()))?;
    Ok(request.masking(mask))
}

/// The URL with its values. Only one that is a value as a whole has its host from there.
fn url(template: &str, inputs: &Inputs) -> Result<Url, String> {
    let parts = parts(template)?;
    let url = match &parts[..] {
        [Part::Input(name)] => parsed(&inputs.text(name)?)?,
        [Part::Text(begin), ..] => {
            let origin = origin_of(begin, parts.len() > 1)?;
            let filled = filled(&parts, inputs)?;
            let url = parsed(&filled)?;
            // Whatever a parser makes of the rest, the host is that of the template.
            if url.origin() != origin.origin() {
                return Err("its values may not change the host".to_owned());
            }
            url
        }
        _ => return Err(NO_HOST.to_owned()),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it has a user or a password: use the header Authorization, with a secret".to_owned()
        );
    }
    Ok(url)
}

const NO_HOST: &str = "before its first value it needs scheme, host, and the slash behind them \
                       (https://api.example.com/…); only a url that is {name} alone has its host \
                       from a value";

fn parsed(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(format!("scheme {scheme} is not http or https")),
    }
}

/// The URL up to the slash behind the host, from the text before the first value.
fn origin_of(begin: &str, has_values: bool) -> Result<Url, String> {
    let after = begin.find("://").map(|at| at + 3).ok_or(NO_HOST)?;
    let end = begin[after..].find(['/', '?', '#']).map_or(begin.len(), |end| after + end);
    if has_values && !begin[end..].starts_with('/') {
        return Err(NO_HOST.to_owned());
    }
    parsed(&begin[..end])
}

/// A value in the path is a part of one segment.
fn filled(parts: &[Part], inputs: &Inputs) -> Result<String, String> {
    let mut in_query = false;
    let mut filled = String::new();
    for part in parts {
        match part {
            Part::Text(text) => {
                // A parser takes these out, or for a slash.
                let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '#');
                if let Some(odd) = text.chars().find(|c| odd(*c)) {
                    return Err(format!("{odd:?} cannot stand in it: write it percent-encoded"));
                }
                in_query |= text.contains('?');
                filled.push_str(text);
            }
            Part::Input(name) => {
                let value = inputs.text(name)?;
                if value.is_empty() && !in_query {
                    return Err(format!(
                        "input {name} is empty: the path without it leads elsewhere"
                    ));
                }
                let tail = filled.rsplit('%').next().filter(|_| filled.contains('%'));
                if tail.is_some_and(|tail| tail.len() < 2) {
                    return Err(format!("the % before {{{name}}} is not whole: write %25"));
                }
                filled.push_str(&encode(&value));
            }
            Part::Secret(name) => return Err(no_secret(name).err().unwrap_or_default()),
        }
    }
    let path = filled.split('?').next().unwrap_or_default();
    let dots =
        |segment: &str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    match path.split('/').find(|segment| dots(segment)) {
        Some(dots) => Err(format!("a segment of its path is {dots}, which leads elsewhere")),
        None => Ok(filled),
    }
}

/// Pairs of a query or a form.
fn pairs(
    given: &BTreeMap<String, Value>,
    mut fill: impl FnMut(&str) -> Result<String, String>,
) -> Result<String, String> {
    let pair = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(template) => fill(template),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(value.to_string()),
            _ => Err("it is a string, a number, or a boolean".to_owned()),
        };
        let value = value.map_err(|why| format!("{name}: {why}"))?;
        Ok(format!("{}={}", encode(name), encode(&value)))
    };
    Ok(given.iter().map(pair).collect::<Result<Vec<_>, String>>()?.join("&"))
}

fn query(
    http: &Http,
    config: &Config,
    inputs: &Inputs,
    url: &Url,
    mask: &mut Mask,
) -> Result<String, String> {
    let fill = |template: &str| {
        let secret = |name: &str| http.secrets.sent(name, url, mask);
        inputs.fill(&parts(template)?, |_, value| Ok(value), secret)
    };
    pairs(&config.query, fill).map_err(|why| format!("query.{why}"))
}

/// With the body, and with the content type that it has unless `headers` has one.
fn body(
    request: ApiRequest,
    config: &Config,
    inputs: &Inputs,
    method: &str,
) -> Result<ApiRequest, StepError> {
    let plainly = |template: &str| inputs.fill_plainly(template);
    Ok(if let Some(value) = &config.json {
        let json = serde_json::to_vec(&Filled { value, inputs });
        let json = json.map_err(|why| refused(format!("json: {why}")))?;
        request.body("application/json", json)
    } else if let Some(form) = &config.form {
        let form = pairs(form, plainly).map_err(|why| refused(format!("form.{why}")))?;
        request.body("application/x-www-form-urlencoded", form)
    } else if let Some(text) = &config.text {
        let text = plainly(text).map_err(|why| refused(format!("text: {why}")))?;
        request.body("text/plain; charset=utf-8", text)
    } else if matches!(method, "POST" | "PUT" | "PATCH") {
        // Some servers refuse one of these that does not say it has no body.
        request.header("content-length", "0")
    } else {
        request
    })
}

/// A body of JSON whose strings have their values. A string that is a place alone becomes the
/// input, of whatever type; keys are never places.
struct Filled<'a> {
    value: &'a Value,
    inputs: &'a Inputs,
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let inputs = self.inputs;
        match self.value {
            Value::String(template) => match &parts(template).map_err(Error::custom)?[..] {
                [Part::Input(name)] => inputs.json(name).map_err(Error::custom)?.serialize(to),
                parts => {
                    let text = inputs.fill(parts, |_, value| Ok(value), no_secret);
                    to.serialize_str(&text.map_err(Error::custom)?)
                }
            },
            Value::Array(items) => to.collect_seq(items.iter().map(|value| Self { value, inputs })),
            Value::Object(members) => {
                to.collect_map(members.iter().map(|(key, value)| (key, Self { value, inputs })))
            }
            other => other.serialize(to),
        }
    }
}

fn header(
    http: &Http,
    request: ApiRequest,
    (name, template): (&str, &str),
    inputs: &Inputs,
    url: &Url,
    mask: &mut Mask,
) -> Result<ApiRequest, String> {
    if OURS.contains(&name.trim().to_ascii_lowercase().as_str()) {
        return Err("this header is set by the handler alone".to_owned());
    }
    let parts = parts(template)?;
    let value = |input: &str, value: String| match value.chars().any(char::is_control) {
        true => Err(format!("input {input} has a control character")),
        false => Ok(value),
    };
    let value = inputs.fill(&parts, value, |name| http.secrets.sent(name, url, mask))?;
    Ok(match parts.iter().any(|part| matches!(part, Part::Secret(_))) {
        true => request.secret_header(name, &value),
        false => request.header(name, &value),
    })
}

#[cfg(test)]
mod tests;
