//! What every request passes: its correlation id, its line in the log, its metrics; then who may do
//! what, how many at once, and how long.

use crate::{
    access::{self, Access, Admission, Failures, Permission, Permissions},
    extract::BodyTimeout,
    problem::{PROBLEM_JSON, Problem},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};
use tracing::Instrument;
use uuid::Uuid;

/// The header of correlation ids, in and out.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// A request may take this much longer than the database, to read a body and write an answer.
const MARGIN: Duration = Duration::from_secs(1);

/// What a request belongs to.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// The caller's, or a new one.
    pub id: Uuid,
    /// The caller's trace context.
    pub traceparent: Option<String>,
}

impl Correlation {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let id =
            text(&CORRELATION_ID).and_then(|text| text.parse().ok()).unwrap_or_else(Uuid::now_v7);
        let traceparent =
            text(&HeaderName::from_static("traceparent")).filter(|text| is_traceparent(text));
        Self { id, traceparent: traceparent.map(str::to_owned) }
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; an invalid one is ignored, as W3C Trace Context says.
fn is_traceparent(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).take(4);
    lengths.eq([2, 32, 16, 2])
        && text.len() == 55
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// The name of the admitted caller, for the log.
#[derive(Debug, Clone)]
struct Name(Option<String>);

/// The outermost layer.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let correlation = Correlation::of(request.headers());
    let id = correlation.id;
    let method = known(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(correlation);
    let span = tracing::info_span!("http", correlation_id = %id, method, route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let _entered = span.enter();
    let problem = problem_of(&response);
    if let Some(problem) = &problem {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = problem.render(id);
        response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    protect(response.headers_mut());
    tell(method, route, &response, started.elapsed(), problem.as_ref());
    response
}

/// What browsers and caches are told. What a stream says of caches stays.
fn protect(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A page around /docs could make a person press its buttons.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("frame-ancestors 'none'"),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The problem in a response; a layer of a library may have refused it with a text of its own.
fn problem_of(response: &Response) -> Option<Problem> {
    let known = response.extensions().get::<Problem>().cloned();
    let status = response.status();
    let is_told =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    // Health answers 503 with its own JSON.
    let is_json =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let is_error = status.is_client_error() || status.is_server_error();
    known.or_else(|| (is_error && !is_told && !is_json).then(|| *Problem::of_status(status)))
}

fn tell(
    method: &'static str,
    route: String,
    response: &Response,
    took: Duration,
    problem: Option<&Problem>,
) {
    let status = response.status();
    let name = response.extensions().get::<Name>().and_then(|Name(name)| name.clone());
    let (key, code, ms) = (name.as_deref(), problem.map(Problem::code), took.as_secs_f64() * 1e3);
    let cause = problem.and_then(Problem::logged_cause);
    match status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        true => tracing::error!(status = status.as_u16(), ms, key, code, cause, "request failed"),
        false => tracing::debug!(status = status.as_u16(), ms, key, code, cause, "request"),
    }
    metrics::histogram!("tasker_http_request_seconds", "method" => method, "route" => route.clone())
        .record(took);
    metrics::counter!(
        "tasker_http_requests_total",
        "method" => method,
        "route" => route,
        "status" => status.as_u16().to_string()
    )
    .increment(1);
}

/// Says what the metrics of the API mean.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(
        "tasker_http_requests_total",
        "Requests to the HTTP API by method, route, and status"
    );
    metrics::describe_histogram!(
        "tasker_http_request_seconds",
        metrics::Unit::Seconds,
        "Duration of requests to the HTTP API; for a stream, until it began"
    );
}

/// Methods are a label: not any word that someone sends.
fn known(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| method.as_str() == *known)
        .unwrap_or("OTHER")
}

/// What the document says about who may do what.
#[derive(Debug, Default)]
pub struct Rules {
    /// By method and path; none: anybody.
    pub needs: HashMap<(Method, String), Option<Permission>>,
    /// Paths without keys that the document does not describe.
    pub open_paths: HashSet<&'static str>,
    /// What concerns all namespaces, by method and path.
    pub for_all: HashSet<(Method, &'static str)>,
}

impl Rules {
    fn is_for_all(&self, method: &Method, path: &Option<MatchedPath>) -> bool {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        path.as_ref().is_some_and(|path| {
            self.for_all.iter().any(|(m, p)| m == method && *p == path.as_str())
        })
    }
}

/// What the inner layer knows.
#[derive(Debug, Clone)]
pub struct Gate {
    pub access: Arc<Access>,
    pub rules: Arc<Rules>,
    pub failures: Arc<Failures>,
    pub places: Arc<Semaphore>,
    /// How long the database may take.
    pub timeout: Duration,
}

enum Wanted {
    Nothing,
    /// Any key: what follows is 404 or 405.
    Key,
    Permission(Permission),
}

impl Gate {
    fn wanted(&self, method: &Method, path: Option<&str>) -> Wanted {
        // HEAD is answered by what answers GET.
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        let Some(path) = path else { return Wanted::Key };
        if self.rules.open_paths.contains(path) {
            return Wanted::Nothing;
        }
        match self.rules.needs.get(&(method, path.to_owned())) {
            Some(Some(permission)) => Wanted::Permission(*permission),
            Some(None) => Wanted::Nothing,
            None => Wanted::Key,
        }
    }
}

/// Lets a request in, or not.
pub async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let wanted = gate.wanted(request.method(), path.as_ref().map(MatchedPath::as_str));
    if matches!(wanted, Wanted::Nothing) {
        return next.run(request).await;
    }
    let caller = match gate.access.admit(request.method(), request.uri(), request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => {
            // Without a key nothing was tried.
            if access::is_tried(request.headers()) && problem.status() == StatusCode::UNAUTHORIZED {
                let route = path.as_ref().map_or("unknown", MatchedPath::as_str);
                let why = problem.detail_text().unwrap_or("the key is unknown");
                let wait = gate.failures.add(known(request.method()), route, why);
                tokio::time::sleep(wait).await;
            }
            return problem.into_response();
        }
    };
    let name = Name(caller.name.clone());
    let answer = async {
        match wanted {
            Wanted::Permission(permission) if !caller.permissions.allow(permission) => {
                return access::forbidden(permission).into_response();
            }
            Wanted::Permission(_)
                if caller.namespaces.is_some()
                    && gate.rules.is_for_all(request.method(), &path) =>
            {
                return access::limited().into_response();
            }
            // A key of no permissions is not to learn what there is.
            Wanted::Key if caller.permissions == Permissions::Some(Vec::new()) => {
                return Problem::of_status(StatusCode::NOT_FOUND).into_response();
            }
            _ => {}
        }
        let Ok(_place) = gate.places.try_acquire() else {
            return Problem::overloaded().into_response();
        };
        if let Wanted::Permission(permission) = wanted {
            let admission = Admission::new(&gate.access, request.headers(), permission, &caller);
            request.extensions_mut().insert(admission);
        }
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(BodyTimeout(gate.timeout));
        match timeout(gate.timeout + MARGIN, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::timed_out().into_response(),
        }
    };
    let mut response = answer.await;
    response.extensions_mut().insert(name);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_is_taken_where_it_is_one() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for text in [
            "",
            "00-4bf92f-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(text), "{text}");
        }
    }

    #[test]
    fn a_correlation_id_that_is_none_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(CORRELATION_ID, HeaderValue::from_static("not one\""));
        assert_ne!(Correlation::of(&headers).id, Correlation::of(&headers).id);
        headers.insert(
            CORRELATION_ID,
            HeaderValue::from_static("0190c2a5-0000-7000-8000-000000000001"),
        );
        assert_eq!(
            Correlation::of(&headers).id.to_string(),
            "0190c2a5-0000-7000-8000-000000000001"
        );
    }
}
