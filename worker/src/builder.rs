//! Builds a worker: namespaces, handlers, limits. Everything that is wrong shows here, before it
//! runs.

use crate::{
    Handler, Resolver, StepContext, StepError, Worker,
    builtin::{self, http::allow::AllowList},
    events::{EventPublisher, Publishers},
    handler::{Callable, Callables, Paged, Resolvers, is_callable, is_name},
    shared::{MAX_NAMESPACE, Settings, StateMap},
};
use pgtasker_core::{
    StepOutcome,
    bounds::{CONCURRENCY, GRACE, LEASE, OutOfBounds, POLL_INTERVAL},
    breaker::Breaker,
    event_pattern::EventPattern,
};
use sqlx::PgPool;
use std::{
    any::{TypeId, type_name},
    sync::Arc,
    time::Duration,
};

/// Why a worker cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No namespace was given.
    #[error("a worker serves at least one namespace: name it, or set TASKER_WORKER_NAMESPACE")]
    NoNamespace,
    /// A namespace that cannot exist.
    #[error("namespace {0:?} is not valid: [a-z][a-z0-9_]*, at most {MAX_NAMESPACE} characters")]
    InvalidNamespace(String),
    /// A handler name that no template can use.
    #[error(
        "handler name {0:?} is not valid: lower-case letters, digits, and _, in parts joined by \
         dots"
    )]
    InvalidHandler(String),
    /// Two handlers of one name.
    #[error("handler {0:?} is registered twice; noop, sleep, http, and sql are in every worker")]
    DuplicateHandler(String),
    /// Two states of one type.
    #[error("state of type {0} is given twice: wrap one in a type of its own")]
    DuplicateState(&'static str),
    /// A limit or a time that cannot be set.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// A publisher that would never be asked.
    #[error("{0}")]
    InvalidPattern(String),
    /// The list of hosts for the `http` handler does not parse.
    #[error("TASKER_HTTP_ALLOW: {0:?} is not a host, host:port, or *")]
    HttpAllow(String),
}

/// Collects what a [`Worker`] needs; made by [`Worker::builder`].
pub struct WorkerBuilder {
    pool: PgPool,
    namespaces: Vec<String>,
    handlers: Vec<(String, Arc<dyn Handler>)>,
    resolvers: Resolvers,
    state: StateMap,
    duplicate_state: Option<&'static str>,
    http_allow: Option<String>,
    sql_allow: Option<String>,
    breaker: Option<Breaker>,
    publishers: Vec<(String, Box<dyn EventPublisher>)>,
    settings: Settings,
}

impl WorkerBuilder {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            namespaces: Vec::new(),
            handlers: Vec::new(),
            resolvers: Vec::new(),
            state: StateMap::new(),
            duplicate_state: None,
            http_allow: None,
            sql_allow: None,
            breaker: None,
            publishers: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Adds a namespace to serve. Several are served in rotation.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        if !self.namespaces.contains(&name) {
            self.namespaces.push(name);
        }
        self
    }

    /// Adds several namespaces.
    pub fn namespaces<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        names.into_iter().fold(self, Self::namespace)
    }

    /// Replaces the namespaces given so far.
    pub(crate) fn only_namespaces<'a>(mut self, names: impl Iterator<Item = &'a str>) -> Self {
        self.namespaces.clear();
        self.namespaces(names)
    }

    /// Registers an async function or closure under the name templates use as `callable`.
    pub fn handler<F, Fut>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<StepOutcome, StepError>> + Send + 'static,
    {
        self.shared_handler(name, Arc::new(handler))
    }

    /// Registers a handler as [`WorkerBuilder::handler`] does, one that reads the results of its
    /// parents by [`StepContext::parent_pages`], or not at all: its steps may have parents with
    /// more results than a claim hands out (`max_claim_bytes` of `tasker.settings`, 16 MiB). Those
    /// of other handlers fail then, with `input_too_large`.
    pub fn paged_handler<F, Fut>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<StepOutcome, StepError>> + Send + 'static,
    {
        self.shared_handler(name, Arc::new(Paged(handler)))
    }

    /// Registers a value that implements [`Handler`], for tables of handlers and types of their
    /// own.
    pub fn shared_handler(mut self, name: impl Into<String>, handler: Arc<dyn Handler>) -> Self {
        self.handlers.push((name.into(), handler));
        self
    }

    /// Registers one entry point of a callable: what templates name by `callable` and `method`
    /// together. The same as `.handler("callable.method", …)`.
    pub fn method<F, Fut>(self, callable: &str, method: &str, handler: F) -> Self
    where
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<StepOutcome, StepError>> + Send + 'static,
    {
        self.handler(format!("{callable}.{method}"), handler)
    }

    /// Finds handlers that are not registered, by the names that templates use; asked after those
    /// added before. A worker with a resolver says of itself that it has every handler of its
    /// namespaces.
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolvers.push(Box::new(resolver));
        self
    }

    /// Gives every handler access to `value` by [`StepContext::state`]; one value per type.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        if self.state.insert(TypeId::of::<T>(), Arc::new(value)).is_some() {
            self.duplicate_state = Some(type_name::<T>());
        }
        self
    }

    /// How many steps run at once, from 1 to 10,000; 64 by default. `sql` handlers are limited by
    /// the pool as well: three of its connections stay free for claims, results, and leases (see
    /// [`Worker::builder`]).
    pub fn concurrency(mut self, steps: usize) -> Self {
        self.settings.concurrency = steps;
        self
    }

    /// True: never LISTEN, only poll; for transaction-mode poolers. False by default.
    pub fn poll_only(mut self, poll_only: bool) -> Self {
        self.settings.poll_only = poll_only;
        self
    }

    /// How often an idle namespace is looked at when no notification comes, from 10 ms to a day; 1
    /// s by default.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// How long a claim is held before another worker may take the step; 30 s by default, from 1 s
    /// to a day. Extended at a third of it for as long as the step is worked on.
    pub fn lease(mut self, lease: Duration) -> Self {
        // PostgreSQL's intervals have microseconds.
        self.settings.lease =
            Duration::from_micros(lease.as_micros().try_into().unwrap_or(u64::MAX));
        self
    }

    /// How long running steps may take to finish after shutdown was asked for, up to a day; 10 s by
    /// default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Shares the circuit breaker, and the health, of others in this process on the same database;
    /// its own by default.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Asks `publisher` about every event whose name matches the pattern (`payment.processed`,
    /// `payment.*`, `*`), before it is published; of several the one added first. Without one,
    /// events go out as they are.
    pub fn publisher(mut self, pattern: impl Into<String>, publisher: impl EventPublisher) -> Self {
        self.publishers.push((pattern.into(), Box::new(publisher)));
        self
    }

    /// The hosts the `http` handler may call, in the form of TASKER_HTTP_ALLOW, which it replaces.
    pub fn http_allow(mut self, hosts: impl Into<String>) -> Self {
        self.http_allow = Some(hosts.into());
        self
    }

    /// The functions that `sql` steps may call, in the form of TASKER_SQL_ALLOW, which it replaces:
    /// `shop.reserve,shop.*`.
    pub fn sql_allow(mut self, functions: impl Into<String>) -> Self {
        self.sql_allow = Some(functions.into());
        self
    }

    /// Checks everything and builds the worker. Touches no database.
    ///
    /// # Errors
    /// The first problem found, see [`BuildError`].
    pub fn build(self) -> Result<Worker, BuildError> {
        if self.namespaces.is_empty() {
            return Err(BuildError::NoNamespace);
        }
        if let Some(bad) = self.namespaces.iter().find(|n| !is_name(n) || n.len() > MAX_NAMESPACE) {
            return Err(BuildError::InvalidNamespace(bad.clone()));
        }
        CONCURRENCY.check_count(self.settings.concurrency)?;
        LEASE.check(self.settings.lease)?;
        GRACE.check(self.settings.grace)?;
        POLL_INTERVAL.check(self.settings.poll_interval)?;
        if let Some(name) = self.duplicate_state {
            return Err(BuildError::DuplicateState(name));
        }
        let hosts =
            self.http_allow.or_else(|| std::env::var("TASKER_HTTP_ALLOW").ok()).unwrap_or_default();
        let allow = AllowList::parse(&hosts).map_err(BuildError::HttpAllow)?;
        let functions = self.sql_allow.or_else(|| std::env::var("TASKER_SQL_ALLOW").ok());
        let functions = functions.filter(|list| !list.trim().is_empty());
        let handlers = callables(builtin::all(allow), self.handlers)?;
        let publishers = self.publishers.into_iter().map(|(text, publisher)| {
            let pattern = text.parse::<EventPattern>().map_err(BuildError::InvalidPattern)?;
            Ok((pattern, publisher))
        });
        let publishers = publishers.collect::<Result<Publishers, BuildError>>()?;
        let mut worker = Worker::new(
            self.pool,
            self.breaker,
            self.namespaces,
            handlers,
            self.resolvers,
            self.state,
            self.settings,
        );
        worker.publishers = publishers;
        worker.sql_allow = functions.map(|list| {
            list.split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect()
        });
        Ok(worker)
    }
}

/// Adds the user's handlers to the built-in ones.
fn callables(
    mut all: Callables,
    own: Vec<(String, Arc<dyn Handler>)>,
) -> Result<Callables, BuildError> {
    for (name, handler) in own {
        if !is_callable(&name) {
            return Err(BuildError::InvalidHandler(name));
        }
        if all.contains_key(&name) {
            return Err(BuildError::DuplicateHandler(name));
        }
        all.insert(name, Callable::Function(handler));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> WorkerBuilder {
        Worker::builder(PgPool::connect_lazy("postgres://nobody@localhost/none").unwrap())
    }

    async fn nothing(_: StepContext) -> Result<StepOutcome, StepError> {
        Ok(StepOutcome::success(()))
    }

    fn error(builder: WorkerBuilder) -> String {
        builder.build().map(|_| ()).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn functions_and_closures_are_handlers() {
        let factor = 2;
        let closure =
            move |ctx: StepContext| async move { Ok(StepOutcome::success(factor * ctx.attempt())) };
        let worker = builder()
            .namespaces(["a", "b"])
            .handler("f", nothing)
            .handler("g", closure)
            .build()
            .unwrap();
        assert_eq!(worker.handlers(), ["f", "g", "http", "noop", "sleep", "sql"]);
        assert_eq!(worker.namespaces(), ["a", "b"]);
        let inferred = builder().namespace("a").handler("h", |ctx| async move {
            ctx.context::<u8>()?;
            Ok(StepOutcome::success(()))
        });
        assert!(inferred.build().is_ok());
    }

    #[tokio::test]
    async fn what_is_wrong_shows_when_building() {
        assert!(error(builder()).contains("at least one namespace"));
        assert!(error(builder().namespace("A")).contains("\"A\""));
        assert!(error(builder().namespace("n".repeat(34))).contains("33"));
        let one = || builder().namespace("a");
        assert!(error(one().concurrency(0)).contains("the concurrency is 0: give a value from 1"));
        assert!(error(one().lease(Duration::from_millis(1))).contains("from 1s to 1d"));
        assert!(error(one().poll_interval(Duration::ZERO)).contains("from 10ms"));
        assert!(error(one().grace(Duration::MAX)).contains("to 1d"));
        for bad in ["Charge", "a..b", "", "a-b"] {
            assert!(error(one().handler(bad, nothing)).contains(&format!("{bad:?}")));
        }
        assert!(one().handler("shop.charge_2", nothing).build().is_ok());
        assert!(error(one().handler("f", nothing).handler("f", nothing)).contains("twice"));
        assert!(error(one().handler("f.g", nothing).method("f", "g", nothing)).contains("twice"));
        assert!(error(one().method("f", "G", nothing)).contains("\"f.G\""));
        assert!(error(one().handler("noop", nothing)).contains("in every worker"));
        assert!(error(one().state(1_u8).state(2_u8)).contains("u8"));
        assert!(error(one().http_allow("http://x")).contains("TASKER_HTTP_ALLOW"));
    }
}
