//! What a request brings, refused as a problem where it is not well formed: by the names that axum
//! has for it.

use crate::problem::Problem;
use axum::{
    body::{Body, Bytes},
    extract::{
        self, FromRequest, FromRequestParts, OptionalFromRequest, Request,
        rejection::{JsonRejection, PathRejection},
    },
    http::{StatusCode, Uri, request::Parts},
    response::{IntoResponse, Response},
};
use pgtasker_core::bounds::PAGE;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Unexpected, Visitor},
};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::timeout;

/// Objects and arrays inside each other, at most. Parsers stop at 128, and what is stored is read
/// inside of answers and messages, which add levels of their own.
const MAX_DEPTH: u32 = 100;

/// How long a body may take to arrive.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// A JSON body, of a request or an answer. In a request it may be left out where the handler takes
/// an `Option`.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// The body of a request that may be left out.
pub trait OrDefault<T> {
    /// The body, or what stands for one.
    fn or_default(self) -> T;
}

impl<T: Default> OrDefault<T> for Option<Json<T>> {
    fn or_default(self) -> T {
        self.map(|Json(body)| body).unwrap_or_default()
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Parameters that may be repeated, as OpenAPI has arrays; else they have commas.
const LISTS: &[&str] = &["state=", "task_id="];

/// The query; lists may be repeated.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The parts of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Box<Problem>;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let patience =
            whole.extensions().get().map_or(Duration::MAX, |BodyTimeout(patience)| *patience);
        let read = timeout(patience, Bytes::from_request(whole, state));
        let bytes =
            read.await.map_err(|_| late())?.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
                _ => Problem::bad_request("invalid_body", rejection.body_text()),
            })?;
        if is_deeper(&bytes, MAX_DEPTH) {
            return Err(Problem::bad_request(
                "invalid_body",
                format!("the body is nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        // serde takes an array for a struct: its values in the order of the fields.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::bad_request(
                "invalid_body",
                "the body must be a JSON object; it is an array",
            ));
        }
        let request = Request::from_parts(parts, Body::from(bytes));
        match <axum::Json<T> as FromRequest<S>>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(of_json(&rejection)),
        }
    }
}

fn late() -> Box<Problem> {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time")
        .hint(
            "Nothing was changed. Send it again, or raise the server's option \
            --http-request-timeout.",
        )
}

/// Whether a JSON text is nested deeper; of what is no JSON anything.
fn is_deeper(text: &[u8], max: u32) -> bool {
    let (mut depth, mut is_string, mut is_escaped) = (0_u32, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => depth += 1,
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max {
            return true;
        }
    }
    false
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Box<Problem>;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Self::Rejection> {
        // Whatever its headers say of what is not there.
        if http_body_is_empty(request.body()) {
            return Ok(None);
        }
        let Json(body) = <Json<Option<T>> as FromRequest<S>>::from_request(request, state).await?;
        Ok(body.map(Self))
    }
}

fn http_body_is_empty(body: &Body) -> bool {
    axum::body::HttpBody::is_end_stream(body)
}

fn of_json(rejection: &JsonRejection) -> Box<Problem> {
    let text = rejection.body_text();
    let text = text
        .trim_start_matches("Failed to deserialize the JSON body into the target type: ")
        .trim_start_matches("Failed to parse the request body as JSON: ");
    match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "The body must be JSON")
                .hint("Send the header Content-Type: application/json.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
        _ => Problem::bad_request("invalid_body", text),
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Box<Problem>;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = merge_lists(parts.uri.query().unwrap_or_default());
        let uri: Uri = format!("/?{query}")
            .parse()
            .map_err(|_| Problem::bad_request("invalid_query", "the query is malformed"))?;
        match extract::Query::<T>::try_from_uri(&uri) {
            Ok(extract::Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.trim_start_matches("Failed to deserialize query string: ");
                Err(Problem::bad_request("invalid_query", text))
            }
        }
    }
}

/// `state=a&state=b` as `state=a%2Cb`.
fn merge_lists(query: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let list = LISTS.iter().find_map(|list| Some((list, part.strip_prefix(list)?)));
        match list.and_then(|(list, more)| {
            Some((parts.iter_mut().find(|part| part.starts_with(list))?, more))
        }) {
            Some((first, more)) => first.extend(["%2C", more]),
            None => parts.push(part.to_owned()),
        }
    }
    parts.join("&")
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Box<Problem>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match <extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(extract::Path(path)) => Ok(Self(path)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(Problem::bad_request(
                "invalid_path",
                error.body_text().trim_start_matches("Invalid URL: "),
            )),
            Err(error) => Err(Problem::internal(error.to_string())),
        }
    }
}

/// A list of words between commas.
pub fn list<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let words = text.split(',').map(|word| word.trim().parse::<T>());
    words.collect::<Result<Vec<T>, _>>().map(Some).map_err(serde::de::Error::custom)
}

/// A number from `MIN` to `MAX`, in a query or a body, where 5.0 is one as well.
pub fn between<'de, D: Deserializer<'de>, const MIN: u32, const MAX: u32>(
    from: D,
) -> Result<Option<u32>, D::Error> {
    let number = from.deserialize_any(Whole)?;
    u32::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number)).map(Some).ok_or_else(
        || serde::de::Error::custom(format!("{number} is out of range: from {MIN} to {MAX}")),
    )
}

/// A struct from a JSON object: not from an array, which serde would take too.
pub fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    let object = Map::<String, Value>::deserialize(from)?;
    T::deserialize(Value::Object(object)).map_err(serde::de::Error::custom)
}

/// An integer, as JSON Schema sees one.
struct Whole;

impl Visitor<'_> for Whole {
    type Value = i64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E>(self, number: u64) -> Result<i64, E> {
        Ok(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<i64, E> {
        // What is not exact in a double is out of every range here.
        match number.fract() == 0.0 && number.abs() < 9e15 {
            true => Ok(number as i64),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// A word that this program knows.
pub fn known<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// The number of a message: from 0.
pub fn message<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    match from.deserialize_any(Whole)? {
        number if number < 0 => {
            Err(serde::de::Error::custom(format!("{number} is out of range here: from 0")))
        }
        number => Ok(Some(number)),
    }
}

/// The size of a page: from 1 to 1,000.
pub fn page_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    between::<D, { PAGE.least }, { PAGE.most }>(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_a_text_are_no_levels() {
        assert!(!is_deeper(br#"{"a": "[[[\"[[[", "b": [1]}, [[]]"#, 2));
        assert!(is_deeper(br#"{"a": "\\", "b": [[1]]}"#, 2));
    }

    #[test]
    fn a_repeated_list_is_one() {
        assert_eq!(merge_lists("state=a&x=1&state=b,c&&task_id=d"), "state=a%2Cb,c&x=1&task_id=d");
        assert_eq!(merge_lists("x=1&x=2"), "x=1&x=2");
        assert_eq!(merge_lists(""), "");
    }
}
