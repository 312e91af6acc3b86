//! The handlers that are in every worker: `noop`, `sleep`, `http`, and `sql`.

pub(crate) mod http;
pub(crate) mod sql;

mod envelope;
mod noop;
mod sleep;

use crate::handler::{Callable, Callables, Paged};
use http::{Http, allow::AllowList};
use std::sync::Arc;

/// All of them, by name.
pub(crate) fn all(allow: AllowList) -> Callables {
    let http = Arc::new(Http::new(allow));
    let http = move |ctx| Arc::clone(&http).run(ctx);
    [
        ("noop".to_owned(), Callable::Function(Arc::new(Paged(noop::run)))),
        ("sleep".to_owned(), Callable::Function(Arc::new(Paged(sleep::run)))),
        ("http".to_owned(), Callable::Function(Arc::new(http))),
        ("sql".to_owned(), Callable::Sql),
    ]
    .into()
}
