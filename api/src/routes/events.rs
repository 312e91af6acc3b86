//! Server-sent events.

use super::{
    parts::TaskAt,
    stream::{Cursor, Follower},
};
use crate::{
    access::Admission,
    extract::Path,
    problem::{Problem, Result},
    state::App,
};
use axum::{
    Extension,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, Stream};
use pgtasker_client::{Client, QueueOverview, TaskStatus, WorkerOverview};
use serde::Serialize;
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(follow_task)).routes(routes!(follow_system))
}

/// How soon a change is told.
const LOOK: Duration = Duration::from_millis(500);
/// How often the overview is made.
const OVERVIEW: Duration = Duration::from_secs(2);
/// The time between two comments, which keep the connection open in proxies and reveal a gone
/// client.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Events = VecDeque<Event>;

/// Follows a task: an event for each transition, then `end`
///
/// Events `task` and `step` have the row of the audit, with its `transition_id`; `end` has the
/// task's status and is the last: the task has finished, or is blocked by failures. With the header
/// Last-Event-ID, a stream resumes; events of the five seconds before may come twice, with the same
/// transition_id, but none is left out.
#[utoipa::path(
    get,
    path = "/v1/tasks/{task_id}/events",
    tag = "events",
    params(
        TaskAt,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that \
            was seen", pattern = "^[0-9]{1,18}\\.[0-9]{1,18}$"),
    ),
    responses((status = 200, content_type = "text/event-stream", body = String)),
    security(("key" = ["tasks:read"])),
)]
pub async fn follow_task(
    app: App,
    Extension(admission): Extension<Admission>,
    Path(at): Path<TaskAt>,
    headers: HeaderMap,
) -> Result<impl IntoResponse> {
    let last = match headers.get("last-event-id").filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => {
            Some(id.to_str().ok().and_then(|id| id.parse::<Cursor>().ok()).ok_or_else(|| {
                Problem::bad_request("invalid_event_id", "Last-Event-ID is not of this stream")
            })?)
        }
    };
    app.call(app.client().task_status(at.task_id)).await?;
    let place = app.stream_place()?;
    let follower = Follower::begin(&app, at.task_id, last).await?;
    let (task_id, events) = (at.task_id, Events::new());
    let following =
        Following { app, admission, task_id, follower, events, ended: false, _place: place };
    Ok(answer(stream::unfold(following, Following::next)))
}

fn answer(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> impl IntoResponse {
    // Else nginx keeps events back until it has a page of them.
    let headers = [("x-accel-buffering", "no")];
    (headers, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Following {
    app: App,
    admission: Admission,
    task_id: Uuid,
    follower: Follower,
    events: Events,
    ended: bool,
    /// Given back at the end.
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some((Ok(event), self));
            }
            if self.ended || self.app.shutdown().is_cancelled() {
                return None;
            }
            match self.look().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(problem) if passes(&problem) => self.app.breaker().closed().await,
                Err(problem) => {
                    self.events.push_back(error_event(&problem));
                    self.ended = true;
                    continue;
                }
            }
            let app = self.app.clone();
            app.shutdown().run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
    }

    /// Whether to go on at once.
    async fn look(&mut self) -> Result<bool> {
        self.admission.check().await?;
        // First the status: what led to it is visible then.
        let status = self.app.call(self.app.client().task_status(self.task_id)).await?;
        let (rows, more) = self.follower.look(&self.app.clone()).await?;
        for row in &rows {
            let id = self.follower.sent(row).to_string();
            self.events
                .push_back(Event::default().event(&row.kind).id(id).data(row.data.to_string()));
        }
        if !more && status.is_settled() {
            self.events.push_back(end_event(&status));
            self.ended = true;
        }
        Ok(!rows.is_empty() || self.ended)
    }
}

fn end_event(status: &TaskStatus) -> Event {
    let event = Event::default().event("end");
    event.json_data(status).unwrap_or_else(|_| Event::default().event("end").data("{}"))
}

fn error_event(problem: &Problem) -> Event {
    let data = serde_json::json!({
        "code": problem.code(),
        "title": problem.title(),
        "status": problem.status().as_u16(),
    });
    Event::default().event("error").data(data.to_string())
}

/// Whether a stream waits for the end of this.
fn passes(problem: &Problem) -> bool {
    matches!(problem.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// What dashboards show.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// Every queue.
    queues: Vec<QueueOverview>,
    /// Every worker.
    workers: Vec<WorkerOverview>,
}

/// Follows queues and workers: an event `overview` at once, and whenever something in it has
/// changed
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    responses((status = 200, content_type = "text/event-stream", body = String)),
    security(("key" = ["system:read"])),
)]
pub async fn follow_system(
    app: App,
    Extension(admission): Extension<Admission>,
) -> Result<impl IntoResponse> {
    let place = app.stream_place()?;
    let first = Some(overview(&app).await?);
    let watching =
        Watching { app, admission, first, last: String::new(), ended: false, _place: place };
    Ok(answer(stream::unfold(watching, Watching::next)))
}

struct Watching {
    app: App,
    admission: Admission,
    /// Made before the answer began.
    first: Option<String>,
    /// What was told last.
    last: String,
    ended: bool,
    /// Given back at the end.
    _place: OwnedSemaphorePermit,
}

impl Watching {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        while !self.ended {
            match self.look().await {
                Ok(None) => return None,
                Ok(Some(text)) if text == self.last => {}
                Ok(Some(text)) => {
                    self.last.clone_from(&text);
                    return Some((Ok(Event::default().event("overview").data(text)), self));
                }
                Err(problem) if passes(&problem) => self.app.breaker().closed().await,
                Err(problem) => {
                    self.ended = true;
                    return Some((Ok(error_event(&problem)), self));
                }
            }
        }
        None
    }

    /// The overview after a while; none: the server stops.
    async fn look(&mut self) -> Result<Option<String>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        self.app.shutdown().run_until_cancelled(tokio::time::sleep(OVERVIEW)).await;
        if self.app.shutdown().is_cancelled() {
            return Ok(None);
        }
        self.admission.check().await?;
        overview(&self.app).await.map(Some)
    }
}

async fn overview(app: &App) -> Result<String> {
    let queues = app.call(app.client().list_queues()).await?;
    let workers = app.call(app.client().list_workers()).await?;
    serde_json::to_string(&Overview { queues, workers })
        .map_err(|error| Problem::internal(error.to_string()))
}
