//! What goes wrong, as problem details of RFC 9457: a stable code, what to do, never the text of a
//! query.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use pgtasker_core::TkCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The result of a handler.
pub type Result<T, E = Box<Problem>> = std::result::Result<T, E>;

/// Problem details (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// A URI of the kind of problem: `urn:tasker:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:tasker:problem:TK004")]
    pub kind: String,
    /// What is wrong, the same for all problems of this kind.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// A stable word, or the SQL API's code: `TK001` and up.
    #[schema(example = "TK004")]
    pub code: String,
    /// About this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The id under which the log has all details.
    pub correlation_id: Uuid,
}

/// A problem on its way to the client. The outermost layer writes it, as it knows the correlation
/// id.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: String,
    title: String,
    detail: Option<String>,
    hint: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    /// A kind of problem.
    pub fn new(status: StatusCode, code: impl Into<String>, title: impl Into<String>) -> Box<Self> {
        let (code, title) = (code.into(), title.into());
        Box::new(Self {
            status,
            code,
            title,
            detail: None,
            hint: None,
            headers: Vec::new(),
            cause: None,
        })
    }

    /// A request that is not well formed.
    pub fn bad_request(code: &str, detail: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::BAD_REQUEST, code, "The request is not well formed").detail(detail)
    }

    /// A 503 with the header Retry-After.
    pub fn unavailable(code: &str, title: &str, after: Duration) -> Box<Self> {
        let seconds = HeaderValue::from(after.as_secs().max(1));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title)
            .header(header::RETRY_AFTER, seconds)
            .hint("Try again in a moment.")
    }

    /// The database is away.
    pub fn database_away() -> Box<Self> {
        Self::unavailable("database_unavailable", "The database is away", Duration::from_secs(2))
    }

    /// A 503 for a server with too many requests.
    pub fn overloaded() -> Box<Self> {
        Self::unavailable(
            "overloaded",
            "There are too many requests at once",
            Duration::from_secs(1),
        )
    }

    /// What it needs is held by others.
    pub fn busy() -> Box<Self> {
        let problem =
            Self::unavailable("busy", "Another transaction is in the way", Duration::from_secs(1));
        problem.hint(
            "It has locked the idempotency key, the task, or the step. Nothing was changed; try \
             again when it has ended.",
        )
    }

    /// The database took too long.
    pub fn timed_out() -> Box<Self> {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "The database took too long to answer")
            .hint(
                "Ask for less, or try again later. A change may or may not have taken place: \
                 check before you repeat it.",
            )
    }

    /// What should not happen; `cause` goes to the log.
    pub fn internal(cause: impl Into<String>) -> Box<Self> {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong in the server",
        )
        .hint("The server's log has more under this correlation id.")
        .cause(cause)
    }

    /// For a response that another layer made without a problem.
    pub fn of_status(status: StatusCode) -> Box<Self> {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "not_found", "There is no such address")
                .hint("/openapi.json and /docs describe all addresses."),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method_not_allowed", "This address has no such method")
                    .hint("The header Allow names the allowed methods.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(),
            status if status.is_server_error() => {
                Self::internal(format!("a layer answered {status}"))
            }
            status => Self::new(status, "refused", status.canonical_reason().unwrap_or("Refused")),
        }
    }

    /// The answer would be over the limit.
    pub fn answer_too_large(detail: impl Into<String>) -> Box<Self> {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "answer_too_large",
            "The answer would be too large",
        )
        .detail(detail)
    }

    /// The body is over the limit.
    pub fn too_large() -> Box<Self> {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large")
            .hint("Send less, or raise the server's option --http-max-body-bytes.")
    }

    /// About this request.
    pub fn detail(mut self: Box<Self>, detail: impl Into<String>) -> Box<Self> {
        self.detail = Some(detail.into());
        self
    }

    /// What to do.
    pub fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    pub fn header(mut self: Box<Self>, name: HeaderName, value: HeaderValue) -> Box<Self> {
        self.headers.push((name, value));
        self
    }

    /// For the log.
    pub fn cause(mut self: Box<Self>, cause: impl Into<String>) -> Box<Self> {
        self.cause = Some(cause.into());
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The `detail` of the problem.
    pub fn detail_text(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Its text for people, as a stream of events tells it.
    pub fn title(&self) -> &str {
        &self.title
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    /// What only the log may say.
    pub fn logged_cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The finished response; `headers` of an earlier one are kept, such as Allow.
    pub fn render(&self, correlation_id: Uuid) -> Response {
        let body = ProblemDetails {
            kind: format!("urn:tasker:problem:{}", self.code),
            title: self.title.clone(),
            status: self.status.as_u16(),
            code: self.code.clone(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            correlation_id,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.extend(self.headers.iter().cloned());
        response
    }
}

/// Without a body yet: [`Problem::render`] makes it.
impl IntoResponse for Box<Problem> {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(*self);
        response
    }
}

impl From<pgtasker_client::Error> for Box<Problem> {
    fn from(error: pgtasker_client::Error) -> Self {
        use pgtasker_client::Error;
        match error {
            Error::Refused { code, message, hint } => refused(code, message, hint),
            Error::Unavailable { message, .. } => Problem::database_away().cause(message),
            Error::Database(error) => of_database(&error),
            other => Problem::internal(other.to_string()),
        }
    }
}

/// A refusal of the engine: its words are for the caller.
fn refused(code: String, message: String, hint: Option<String>) -> Box<Problem> {
    let known = TkCode::parse(&code);
    let (status, title) = match known.map_or(500, TkCode::http_status) {
        404 => (StatusCode::NOT_FOUND, "It is not there"),
        409 => (StatusCode::CONFLICT, "It cannot be done in the present state"),
        422 => (StatusCode::UNPROCESSABLE_ENTITY, "The content cannot be used"),
        403 => (StatusCode::FORBIDDEN, "This key, or the server's login, is limited to namespaces"),
        _ => return Problem::internal(format!("{message} ({code})")),
    };
    let mut problem = Problem::new(status, code, title).detail(message);
    if matches!(known, Some(TkCode::NamespaceHeld | TkCode::TaskHeld)) {
        problem = problem.header(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    match hint {
        // The engine's own is about SQL.
        _ if known == Some(TkCode::InvalidTemplate) => {
            problem.hint("POST /v1/templates/validate lists every problem.")
        }
        _ if known == Some(TkCode::ResultsTooLarge) => {
            problem.hint("GET /v1/tasks/{task_id}/steps/{step} gives the result of one step.")
        }
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn of_database(error: &pgtasker_core::Error) -> Box<Problem> {
    let code = error.sqlstate().unwrap_or_default();
    let pool_timed_out = matches!(error, pgtasker_core::Error::Database(sqlx::Error::PoolTimedOut));
    let problem = match code.as_str() {
        "42501" => Problem::new(
            StatusCode::FORBIDDEN,
            "database_role",
            "The server's database \
         role lacks a right",
        )
        .hint(
            "Grant tasker_operator to the server's database role, and tasker_client for new tasks.",
        ),
        // Cancelled by statement_timeout.
        "57014" => Problem::timed_out(),
        "22P05" | "22021" => Problem::bad_request(
            "not_storable",
            "a text has a character that the database cannot store: \\u0000, or one that its \
                 encoding lacks",
        ),
        // Data exceptions and limits: numbers out of range, impossible times, keys too long for an
        // index.
        code if code.starts_with("22")
            || code.starts_with("54")
            || matches!(code, "23502" | "0A000") =>
        {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_value",
                "A value is out of the range that can be stored",
            )
            .hint("Check lengths, numbers, and times.")
        }
        "40001" | "40P01" | "55P03" => Problem::busy(),
        _ if pool_timed_out => Problem::unavailable(
            "database_unavailable",
            "The database gave no connection in \
                time",
            Duration::from_secs(2),
        ),
        _ if error.is_transient() || matches!(error, pgtasker_core::Error::Schema(_)) => {
            Problem::database_away()
        }
        _ => Problem::internal(""),
    };
    problem.cause(error.to_string())
}
