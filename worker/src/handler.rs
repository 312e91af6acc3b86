//! Handlers: the code of steps, plain async functions registered by name.

use crate::{StepContext, StepError};
use std::{collections::HashMap, pin::Pin, sync::Arc};
use tasker_core::StepOutcome;

/// What a handler's call becomes: a boxed future.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<StepOutcome, StepError>> + Send>>;

/// The code of a step. Every `Fn(StepContext) -> impl Future<Output = Result<StepOutcome, StepError>>`
/// is one: an `async fn`, or a closure that returns an `async move` block.
///
/// A handler may run more than once for the same step (at least once for effects outside the database),
/// and must not block its thread: long computations belong into `tokio::task::spawn_blocking`.
pub trait Handler: Send + Sync + 'static {
    /// Runs the step.
    fn call(&self, ctx: StepContext) -> HandlerFuture;
}

impl<F, Fut> Handler for F
where
    F: Fn(StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<StepOutcome, StepError>> + Send + 'static,
{
    fn call(&self, ctx: StepContext) -> HandlerFuture {
        Box::pin(self(ctx))
    }
}

/// How a registered name is run.
#[derive(Clone)]
pub(crate) enum Callable {
    /// Called with the context; its outcome goes through the completion channel.
    Function(Arc<dyn Handler>),
    /// Runs in the database and submits its own result, see `builtin::sql`.
    Sql,
}

/// Handlers by name.
pub(crate) type Callables = HashMap<String, Callable>;

/// A callable of a running worker, with its metric.
pub(crate) struct Registered {
    pub(crate) callable: Callable,
    pub(crate) seconds: metrics::Histogram,
}

/// Attaches the metrics, at start: the recorder may be installed after the worker was built.
pub(crate) fn register(callables: Callables) -> HashMap<String, Registered> {
    let attach = |(name, callable): (String, Callable)| {
        let seconds = metrics::histogram!("tasker_handler_seconds", "handler" => name.clone());
        (name, Registered { callable, seconds })
    };
    callables.into_iter().map(attach).collect()
}

/// Whether `name` is `[a-z][a-z0-9_]*`, the rule for names in a template.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether a template can name this handler: names joined by dots.
pub(crate) fn is_callable(name: &str) -> bool {
    name.split('.').all(is_name)
}
