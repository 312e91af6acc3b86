//! Bounds what large answers take in memory at once: each has a place from before it is read in the
//! database until its last byte is sent.

use crate::problem::Problem;
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Large answers at once. An answer has up to about 16 MiB, and several times that while it is
/// made.
const PLACES: usize = 4;
/// An answer up to this size gives its place back when it is made.
const SMALL: u64 = 256 << 10;
/// How long a request waits for a place.
const WAIT: Duration = Duration::from_secs(5);
/// What answers with documents.
const PATHS: [&str; 8] = [
    "/v1/tasks/{task_id}/graph",
    "/v1/tasks/{task_id}/result",
    "/v1/tasks/{task_id}/steps",
    "/v1/tasks/{task_id}/steps/{step}",
    "/v1/tasks/{task_id}/transitions",
    "/v1/dead-letters/{entry_id}",
    "/v1/namespaces/{namespace}/events",
    "/v1/templates/{namespace}/{name}",
];

/// Places for as many large answers as there may be.
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PLACES))
}

/// Lets a request for what may be large wait for a place.
pub async fn bound(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if request.method() != Method::GET || !path.is_some_and(|path| PATHS.contains(&path)) {
        return next.run(request).await;
    }
    let Ok(Ok(place)) = timeout(WAIT, places.acquire_owned()).await else {
        return Problem::overloaded().into_response();
    };
    let response = next.run(request).await;
    match response.body().size_hint().upper() {
        Some(bytes) if bytes <= SMALL => response,
        _ => response.map(|body| Body::new(Held { body, _place: place })),
    }
}

/// A body with its place.
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, middleware, routing::get};
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_large_answer_keeps_its_place_until_it_is_sent_and_a_small_one_does_not() {
        let places = Arc::new(Semaphore::new(1));
        let body = |bytes: usize| move || async move { "x".repeat(bytes) };
        let app = Router::new()
            .route("/v1/tasks/{task_id}/graph", get(body(1 << 20)))
            .route("/v1/tasks/{task_id}/result", get(body(10)))
            .route("/v1/queues", get(body(1 << 20)))
            .layer(middleware::from_fn_with_state(Arc::clone(&places), bound));
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap()
        };
        for path in ["/v1/tasks/7/result", "/v1/queues"] {
            let _answer = ask(path).await;
            assert_eq!(places.available_permits(), 1, "{path}");
        }
        let large = ask("/v1/tasks/7/graph").await;
        assert_eq!(
            (places.available_permits(), large.body().size_hint().exact()),
            (0, Some(1 << 20))
        );
        let bytes = axum::body::to_bytes(large.into_body(), usize::MAX).await.unwrap();
        assert_eq!((bytes.len(), places.available_permits()), (1 << 20, 1));
    }
}
