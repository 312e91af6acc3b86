//! Handlers: the code of steps, plain async functions registered by name.

use crate::{StepContext, StepError, meters::HandlerMeters};
use pgtasker_core::StepOutcome;
use std::{
    any::Any,
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// Bounds what a worker keeps, and tells its metrics apart by, when it meets endlessly many names.
const MAX_RESOLVED: usize = 1_000;
/// The metrics' name of all handlers beyond that.
const OTHER: &str = "(other)";
/// Says in a heartbeat that no list of handlers is complete.
const ANY: &str = "*";
/// Says that one name is not among them.
const NOT: &str = "!";
/// How many names a heartbeat may have.
const MAX_OFFERED: usize = 1_000;
/// Bounds the names remembered as not found.
const MAX_MISSING: usize = 500;
/// When resolvers are asked again for a name they did not find: soon, then ever more rarely.
const ASK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// When steps of a handler are taken again that was found and had no such name. Longer than such a
/// step is away from its queue, so that others come first.
const TAKE_AGAIN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(300)];

/// What a handler's call becomes: a boxed future.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<StepOutcome, StepError>> + Send>>;

/// The code of a step. Every `Fn(StepContext) -> impl Future<Output = Result<StepOutcome,
/// StepError>>` is one: an `async fn`, or a closure that returns an `async move` block.
///
/// A handler may run more than once for the same step (at least once for effects outside the
/// database), and must not block its thread: long computations belong into
/// `tokio::task::spawn_blocking`.
pub trait Handler: Send + Sync + 'static {
    /// Runs the step.
    fn call(&self, ctx: StepContext) -> HandlerFuture;

    /// Whether it can do without the results of its parents in its context, where they are too
    /// large for a claim. See [`StepContext::parent_pages`].
    fn reads_pages(&self) -> bool {
        false
    }

    /// Whether it ends by itself when the step's time is over ([`StepContext::timeout`]), by
    /// [`StepError::timed_out`]; the worker sets it no limit then. For handlers whose time does
    /// not begin with the call, since another runtime has yet to take it.
    fn keeps_time(&self) -> bool {
        false
    }
}

/// A handler that reads the results of its parents by pages, or not at all.
pub(crate) struct Paged<H>(pub(crate) H);

impl<H: Handler> Handler for Paged<H> {
    fn call(&self, ctx: StepContext) -> HandlerFuture {
        self.0.call(ctx)
    }

    fn reads_pages(&self) -> bool {
        true
    }
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

impl Callable {
    /// See [`Handler::reads_pages`].
    pub(crate) fn reads_pages(&self) -> bool {
        matches!(self, Self::Function(handler) if handler.reads_pages())
    }
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
/// What it returned is kept, at least for the first 1,000 names, and not asked for again; None is,
/// after a second and then ever more rarely, up to a minute; meanwhile the worker takes no such
/// steps. It is called while a step waits, and must not block its thread.
pub trait Resolver: Send + Sync + 'static {
    /// The handler of this name, `callable` or `callable.method` in templates; None: not this
    /// resolver's.
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
    /// What no resolver has found.
    missing: Mutex<HashMap<String, Missing>>,
}

/// When a name is to be asked for again.
struct Missing {
    at: Instant,
    pause: Duration,
    /// A handler was found, and said that it has no such name.
    disowned: bool,
    /// That is tried once more.
    tried: bool,
}

struct Known {
    handlers: HashMap<String, Arc<Registered>>,
    /// Their names, sorted.
    names: Arc<[String]>,
    /// How many more names are kept.
    room: usize,
    /// Those of them that a resolver found.
    resolved: HashSet<String>,
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
        let resolved = HashSet::new();
        let known = RwLock::new(Known { handlers, names, room: MAX_RESOLVED, resolved });
        Self { resolvers, known, missing: Mutex::default() }
    }

    /// The handler of this name; what a resolver panicked with, where it did.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Arc<Registered>>, Box<dyn Any + Send>> {
        let known =
            self.known.read().unwrap_or_else(PoisonError::into_inner).handlers.get(name).cloned();
        if known.is_some() || self.resolvers.is_empty() {
            return Ok(known);
        }
        let resolve = || self.resolvers.iter().find_map(|resolver| resolver.resolve(name));
        let resolved = catch_unwind(AssertUnwindSafe(resolve))?;
        self.note(name, resolved.is_some());
        Ok(resolved.map(|handler| self.keep(name, handler)))
    }

    /// Remembers for how long a name that was not found is to be left alone.
    fn note(&self, name: &str, found: bool) {
        self.remember(name, found, false);
    }

    fn remember(&self, name: &str, found: bool, disowned: bool) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if found {
            // What was disowned keeps its pause, since it may be disowned again.
            missing.retain(|known, missing| known != name || missing.disowned);
            if let Some(disowned) = missing.get_mut(name) {
                disowned.tried = disowned.at <= now;
            }
            return;
        }
        // Those of one claim count once.
        if disowned && missing.get(name).is_some_and(|last| !last.tried && last.at > now) {
            return;
        }
        let [first, longest] = if disowned { TAKE_AGAIN } else { ASK_AGAIN };
        let pause = missing.get(name).map_or(first, |last| (last.pause * 2).min(longest));
        if missing.len() < MAX_MISSING || missing.contains_key(name) {
            let at = now + pause;
            missing.insert(name.to_owned(), Missing { at, pause, disowned, tried: false });
        }
    }

    /// A handler of this name ran, so it is here.
    pub(crate) fn has(&self, name: &str) {
        if !self.resolvers.is_empty() {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }

    /// A handler that a resolver found has no such name: as if it had not been found. Whether this
    /// worker takes none of its steps for a while; a handler that was registered it goes on to
    /// offer.
    pub(crate) fn disown(&self, name: &str) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.resolved.remove(name) {
            known.handlers.remove(name);
            known.room += 1;
            known.names = sorted(&known.handlers);
        }
        drop(known);
        let leaves = !self.resolvers.is_empty() && !self.names().iter().any(|n| n == name);
        if leaves {
            self.remember(name, false, true);
        }
        leaves
    }

    /// What no resolver finds, each asked for again where it is time.
    fn not_found(&self) -> Vec<String> {
        let names = |due: bool| {
            let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = missing
                .iter()
                .filter(|(_, missing)| !missing.tried && (!due || missing.at <= Instant::now()));
            wanted.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        for name in names(true) {
            // One that panics is asked by a step, which then fails with the reason.
            if self.find(&name).is_err() {
                self.note(&name, true);
            }
        }
        names(false)
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
        known.resolved.insert(name.to_owned());
        known.names = sorted(&known.handlers);
        handler
    }

    /// The names of those known by now, sorted.
    pub(crate) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).names)
    }

    /// The handlers of the steps that this worker takes: the names, or any but those that no
    /// resolver finds.
    pub(crate) fn claimable(&self) -> Arc<[String]> {
        if self.resolvers.is_empty() {
            return self.names();
        }
        let not = self.not_found().into_iter().map(|name| format!("{NOT}{name}"));
        std::iter::once(ANY.to_owned()).chain(not).collect()
    }

    /// What this worker says that it has: what it takes, and the names known by now. Where it takes
    /// any, not all of them need be named.
    pub(crate) fn offered(&self) -> Vec<String> {
        if self.resolvers.is_empty() {
            return self.names().to_vec();
        }
        let claimable = self.claimable();
        claimable.iter().chain(self.names().iter()).take(MAX_OFFERED).cloned().collect()
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
    use crate::fixtures::context;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn answers(word: &'static str) -> Arc<dyn Handler> {
        Arc::new(move |_: StepContext| async move { Ok(StepOutcome::success(word)) })
    }

    fn handlers(resolvers: Resolvers) -> Handlers {
        Handlers::new(
            [("known".to_owned(), Callable::Function(answers("registered")))].into(),
            resolvers,
        )
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
        for (name, word) in
            [("known", "registered"), ("a.b", "first"), ("b", "second"), ("a.b", "first")]
        {
            assert_eq!(run(&handlers, name).await, StepOutcome::success(word), "{name}");
        }
        assert_eq!(*handlers.names(), ["a.b", "b", "known"]);
        assert_eq!(handlers.offered(), ["*", "a.b", "b", "known"]);
    }

    #[tokio::test]
    async fn what_was_found_and_has_no_such_name_is_left_to_others() {
        let handlers = handlers(vec![resolves("", "any")]);
        assert!(handlers.find("a").ok().flatten().is_some());
        assert!(handlers.disown("a"));
        assert!(handlers.claimable().contains(&"!a".to_owned()));
        // Another step of the same claim asks again, and that takes nothing back.
        assert!(handlers.find("a").ok().flatten().is_some());
        assert!(handlers.disown("a"));
        assert!(handlers.claimable().contains(&"!a".to_owned()));
        assert_eq!(handlers.missing.lock().unwrap()["a"].pause, TAKE_AGAIN[0]);
        // One that was registered is offered as before.
        assert!(!handlers.disown("known"));
        handlers.has("a");
        assert_eq!(*handlers.claimable(), ["*".to_owned()]);
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
    fn a_name_that_no_resolver_finds_is_not_taken_until_it_is_asked_for_again() {
        let has = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let found = Arc::clone(&has);
        let handlers = handlers(vec![Box::new(move |name: &str| {
            (name == "late" && found.load(Ordering::Relaxed)).then(|| answers("late"))
        })]);
        assert!(handlers.find("late").is_ok_and(|found| found.is_none()));
        assert_eq!(*handlers.claimable(), ["*", "!late"]);
        assert_eq!(handlers.offered(), ["*", "!late", "known"]);
        has.store(true, Ordering::Relaxed);
        assert_eq!(*handlers.claimable(), ["*", "!late"], "not asked for again at once");
        handlers.missing.lock().unwrap().get_mut("late").unwrap().at = Instant::now();
        assert_eq!(*handlers.claimable(), ["*"]);
        assert_eq!(*handlers.names(), ["known", "late"]);
    }

    #[test]
    fn what_is_not_found_is_asked_for_ever_more_rarely() {
        let handlers = handlers(vec![Box::new(|_: &str| None)]);
        let pauses = (0..8).map(|_| {
            assert!(handlers.find("x").is_ok_and(|found| found.is_none()));
            handlers.missing.lock().unwrap()["x"].pause.as_secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn without_a_resolver_there_is_no_star_and_a_panic_is_caught() {
        assert_eq!(handlers(vec![]).offered(), ["known"]);
        let bad = |_: &str| -> Option<Arc<dyn Handler>> { panic!("no plug-ins") };
        assert!(handlers(vec![Box::new(bad)]).find("x").is_err());
    }
}
