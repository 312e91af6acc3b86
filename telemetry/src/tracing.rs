//! Tracing of a process: on where the environment says so, then one for the whole process.

use crate::{
    TaskSpan, TaskTrace, TraceParent,
    export::{Processor, Queue},
    sampling::Sampling,
    settings::Settings,
};
use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    trace::{SpanContext, Status, TraceContextExt, TraceState, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, ResourceDetector, TelemetryResourceDetector},
    trace::{SdkTracerProvider, SpanData, SpanEvents, SpanLinks, SpanProcessor},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use uuid::Uuid;

/// How long the end of a process waits for its last spans.
const FLUSH: Duration = Duration::from_secs(5);
const SCOPE: &str = "tasker";
const SERVICE_NAME: &str = "service.name";

static ACTIVE: OnceLock<Tracing> = OnceLock::new();

/// The tracing of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tracing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    provider: SdkTracerProvider,
    processor: Processor,
    queue: Arc<Queue>,
    sampling: Sampling,
    scope: InstrumentationScope,
    problems: Vec<String>,
}

/// Turns tracing on where the environment says so: an endpoint is set, or
/// OTEL_TRACES_EXPORTER=otlp. `service` is the name where OTEL_SERVICE_NAME gives none. Spans of
/// handlers are exported when [`Tracing::layer`] is part of the process's subscriber. What is wrong
/// with the variables turns it off and is logged, see [`Tracing::tell_problems`].
pub fn start(service: &'static str) -> Option<Tracing> {
    try_start(service).unwrap_or_else(|problems| {
        tell(&problems);
        None
    })
}

/// As [`start`], for a process whose log starts later.
///
/// # Errors
/// Why tracing is off though the environment says something of it; to be logged.
pub fn try_start(service: &'static str) -> Result<Option<Tracing>, Vec<String>> {
    if let Some(active) = ACTIVE.get() {
        return Ok(Some(active.clone()));
    }
    let Settings { on, sampling, queue, problems } = Settings::from_env();
    if !on {
        return if problems.is_empty() { Ok(None) } else { Err(problems) };
    }
    match Tracing::new(service, sampling, queue, problems) {
        Ok(tracing) => Ok(Some(ACTIVE.get_or_init(|| tracing).clone())),
        Err(error) => Err(vec![format!("traces are off: {error}")]),
    }
}

/// That of this process, where it is on.
pub fn active() -> Option<&'static Tracing> {
    ACTIVE.get()
}

/// The `traceparent` of the span that is current, by `tracing` or by OpenTelemetry itself, for a
/// task that is enqueued in it; none where tracing is off.
pub fn current_traceparent() -> Option<String> {
    active()?;
    let of = |context: Context| TraceParent::of(context.span().span_context());
    let parent = of(Span::current().context()).or_else(|| of(Context::current()))?;
    Some(parent.to_string())
}

/// Exports what still waits, for five seconds at most; to be called once at the end of a process.
/// Blocks.
pub fn shutdown() {
    if let Some(Tracing(inner)) = active()
        && let Err(error) = inner.provider.shutdown_with_timeout(FLUSH)
    {
        tracing::warn!(%error, "the last spans were not exported");
    }
}

/// Exports what still waits, for a few seconds at most, where the process may go on. Blocks.
pub fn flush() {
    if let Some(Tracing(inner)) = active()
        && let Err(error) = inner.provider.force_flush()
    {
        tracing::warn!(%error, "the last spans were not exported");
    }
}

/// Logged where there is a log already, else printed: a process without traces should say why.
fn tell(problems: &[String]) {
    for problem in problems {
        if tracing::dispatcher::has_been_set() {
            tracing::warn!("{problem}");
        } else {
            eprintln!("warning: {problem}");
        }
    }
}

impl Tracing {
    fn new(
        service: &'static str,
        sampling: Sampling,
        room: usize,
        problems: Vec<String>,
    ) -> Result<Self, ExporterBuildError> {
        // The exporter's client needs one; fails only where the process has chosen already, which
        // is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let exporter =
            SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build()?;
        let queue = Arc::new(Queue::new(room));
        let resource = resource(service);
        let processor = Processor::start(exporter, Arc::clone(&queue), &resource);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.clone())
            .with_sampler(sampling.sampler())
            .with_resource(resource)
            .build();
        let scope =
            InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self(Arc::new(Inner { provider, processor, queue, sampling, scope, problems })))
    }

    /// The layer that makes spans of `tracing`, from level info on, spans of the trace, and events
    /// in them theirs.
    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.0.provider.tracer_with_scope(self.0.scope.clone());
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            // A handler that logs an error may succeed all the same.
            .with_error_events_to_status(false)
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_tracked_inactivity(false);
        let worth = filter_fn(|metadata| {
            *metadata.level() <= Level::INFO && !metadata.target().starts_with("opentelemetry")
        });
        Box::new(layer.with_filter(worth))
    }

    /// Logs what was wrong with the variables; to be called when the log is there.
    pub fn tell_problems(&self) {
        tell(&self.0.problems);
    }

    /// The trace of a task.
    pub fn task(&self, task_id: Uuid, traceparent: Option<&str>) -> TaskTrace {
        TaskTrace::new(task_id, traceparent, &self.0.sampling)
    }

    /// Makes `span`, which must be new, a child of the task's span under this name. Returns it as a
    /// parent for others; none where the subscriber has no [`Tracing::layer`].
    pub fn adopt(&self, span: &Span, trace: &TaskTrace, name: String) -> Option<TraceParent> {
        span.set_parent(Context::new().with_remote_span_context(trace.root().context())).ok()?;
        let context = span.context();
        context.span().update_name(name);
        TraceParent::of(context.span().span_context())
    }

    /// Adds to a span that has been adopted.
    pub fn describe(&self, span: &Span, attributes: impl IntoIterator<Item = KeyValue>) {
        for KeyValue { key, value, .. } in attributes {
            span.set_attribute(key, value);
        }
    }

    /// Marks a span that has been adopted as failed.
    pub fn fail(&self, span: &Span, message: &str) {
        span.set_status(Status::error(message.to_owned()));
    }

    /// Exports a span that is over, if its trace is sampled.
    pub fn export(&self, trace: &TaskTrace, span: TaskSpan) {
        if !trace.is_sampled() {
            return;
        }
        let root = trace.root();
        let is_root = span.place == crate::Place::Root;
        let parent_span_id = if is_root { trace.caller() } else { root.span_id };
        let span_id = trace.span_id(&span.place);
        self.0.processor.on_end(SpanData {
            span_context: SpanContext::new(
                root.trace_id,
                span_id,
                root.flags,
                false,
                TraceState::NONE,
            ),
            parent_span_id,
            parent_span_is_remote: true,
            span_kind: span.kind,
            name: span.name.into(),
            start_time: span.start,
            end_time: span.end.max(span.start),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.0.scope.clone(),
        });
    }

    /// How many more spans find room in the queue of those to be exported.
    pub fn room(&self) -> usize {
        self.0.queue.free()
    }
}

/// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, and what is known without them.
fn resource(service: &'static str) -> Resource {
    let env = EnvResourceDetector::new();
    let named = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let name = named.map(Into::into).or_else(|| env.detect().get(&SERVICE_NAME.into()));
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", Uuid::new_v4().to_string()))
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(env)])
        .with_service_name(name.unwrap_or_else(|| service.into()))
        .build()
}
