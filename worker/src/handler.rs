//! Handlers: the code of steps, plain async functions registered by name.

use crate::{StepContext, StepError, meters::HandlerMeters};
use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
};
use tasker_core::StepOutcome;

/// Bounds what a worker keeps, and tells its metrics apart by, when it meets endlessly many names.
const MAX_RESOLVED: usize = 1_000;
/// The metrics' name of all handlers beyond that.
const OTHER: &str = "(other)";
/// Says in a heartbeat that no list of handlers is complete.
const ANY: &str = "*";

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

/// A callable of a running worker, with its metrics.
pub(crate) struct Registered {
    pub(crate) callable: Callable,
    pub(crate) meters: HandlerMeters,
}

/// Finds handlers that were not registered by name, for example one per plug-in. Every
/// `Fn(&str) -> Option<Arc<dyn Handler>>` is one.
///
/// What it returned is kept, at least for the first 1,000 names, and not asked for again; None is. It is called while
/// a step waits, and must not block its thread.
pub trait Resolver: Send + Sync + 'static {
    /// The handler of this name, `callable` or `callable.method` in templates; None: not this resolver's.
    fn resolve(&self, handler: &str) -> Option<Arc<dyn Handler>>;
}

impl<F> Resolver for F
where
    F: Fn(&str) -> Option<Arc<dyn Handler>> + Send + Sync + 'static,
{
    fn resolve(&self, handler: &str) -> Option<Arc<dyn Handler>> {
        self(handler)
    }
}

/// In the order in which they are asked.
pub(crate) type Resolvers = Vec<Box<dyn Resolver>>;

/// The handlers of a running worker: those registered by name, then what resolvers find.
pub(crate) struct Handlers {
    resolvers: Resolvers,
    known: RwLock<Known>,
}

struct Known {
    handlers: HashMap<String, Arc<Registered>>,
    /// Their names, sorted.
    names: Arc<[String]>,
    /// How many more names are kept.
    room: usize,
}

impl Handlers {
    /// Attaches the metrics, at start: the recorder may be installed after the worker was built.
    pub(crate) fn new(callables: Callables, resolvers: Resolvers) -> Self {
        let attach = |(name, callable): (String, Callable)| {
            let registered = registered(callable, &name);
            (name, registered)
        };
        let handlers: HashMap<_, _> = callables.into_iter().map(attach).collect();
        let names = sorted(&handlers);
        Self { resolvers, known: RwLock::new(Known { handlers, names, room: MAX_RESOLVED }) }
    }

    /// The handler of this name; what a resolver panicked with, where it did.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Arc<Registered>>, Box<dyn Any + Send>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).handlers.get(name).cloned();
        if known.is_some() || self.resolvers.is_empty() {
            return Ok(known);
        }
        let resolve = || self.resolvers.iter().find_map(|resolver| resolver.resolve(name));
        let resolved = catch_unwind(AssertUnwindSafe(resolve))?;
        Ok(resolved.map(|handler| self.keep(name, handler)))
    }

    fn keep(&self, name: &str, handler: Arc<dyn Handler>) -> Arc<Registered> {
        let callable = Callable::Function(handler);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(meanwhile) = known.handlers.get(name) {
            return Arc::clone(meanwhile);
        }
        if known.room == 0 {
            return registered(callable, OTHER);
        }
        known.room -= 1;
        let handler = registered(callable, name);
        known.handlers.insert(name.to_owned(), Arc::clone(&handler));
        known.names = sorted(&known.handlers);
        handler
    }

    /// The names of those known by now, sorted.
    pub(crate) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).names)
    }

    /// What this worker says that it has: the names, and `*` where there may be any other.
    pub(crate) fn offered(&self) -> Vec<String> {
        let any = (!self.resolvers.is_empty()).then(|| ANY.to_owned());
        any.into_iter().chain(self.names().iter().cloned()).collect()
    }
}

fn registered(callable: Callable, label: &str) -> Arc<Registered> {
    Arc::new(Registered { callable, meters: HandlerMeters::new(label) })
}

fn sorted(handlers: &HashMap<String, Arc<Registered>>) -> Arc<[String]> {
    let mut names: Vec<String> = handlers.keys().cloned().collect();
    names.sort_unstable();
    names.into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn answers(word: &'static str) -> Arc<dyn Handler> {
        Arc::new(move |_: StepContext| async move { Ok(StepOutcome::success(word)) })
    }

    fn handlers(resolvers: Resolvers) -> Handlers {
        Handlers::new([("known".to_owned(), Callable::Function(answers("registered")))].into(), resolvers)
    }

    async fn run(handlers: &Handlers, name: &str) -> StepOutcome {
        let registered = handlers.find(name).ok().flatten().expect(name);
        let Callable::Function(handler) = &registered.callable else { panic!("no function") };
        handler.call(context(json!({}), json!({}), json!({}))).await.unwrap()
    }

    fn resolves(prefix: &'static str, word: &'static str) -> Box<dyn Resolver> {
        Box::new(move |name: &str| name.starts_with(prefix).then(|| answers(word)))
    }

    #[tokio::test]
    async fn registered_names_go_first_then_resolvers_in_order() {
        let handlers = handlers(vec![resolves("a", "first"), resolves("", "second")]);
        assert_eq!(handlers.offered(), ["*", "known"]);
        for (name, word) in [("known", "registered"), ("a.b", "first"), ("b", "second"), ("a.b", "first")] {
            assert_eq!(run(&handlers, name).await, StepOutcome::success(word), "{name}");
        }
        assert_eq!(*handlers.names(), ["a.b", "b", "known"]);
        assert_eq!(handlers.offered(), ["*", "a.b", "b", "known"]);
    }

    #[tokio::test]
    async fn what_was_found_is_kept_and_what_was_not_is_asked_for_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let handlers = handlers(vec![Box::new(move |name: &str| {
            count.fetch_add(1, Ordering::Relaxed);
            (name == "a").then(|| answers("a"))
        })]);
        for _ in 0..3 {
            run(&handlers, "a").await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        for _ in 0..3 {
            assert!(handlers.find("b").is_ok_and(|found| found.is_none()));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn endlessly_many_names_run_and_are_not_kept() {
        let handlers = handlers(vec![resolves("h", "any")]);
        for n in 0..MAX_RESOLVED + 10 {
            assert!(handlers.find(&format!("h{n}")).is_ok_and(|found| found.is_some()));
        }
        assert_eq!(handlers.names().len(), MAX_RESOLVED + 1);
        assert_eq!(run(&handlers, "h5000").await, StepOutcome::success("any"));
    }

    #[test]
    fn without_a_resolver_there_is_no_star_and_a_panic_is_caught() {
        assert_eq!(handlers(vec![]).offered(), ["known"]);
        let bad = |_: &str| -> Option<Arc<dyn Handler>> { panic!("no plug-ins") };
        assert!(handlers(vec![Box::new(bad)]).find("x").is_err());
    }
}
