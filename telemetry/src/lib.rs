//! pgtasker-telemetry: traces over OTLP, configured by the standard OTEL_ variables; the log of a
//! process; /metrics and /health. The metrics themselves live in the crates that count. Worker,
//! orchestrator, and CLI use it; core and client do not, and stay free of OpenTelemetry.
//!
//! A task is one trace, to which every process adds its part. Nothing is stored for it: the trace
//! is the caller's, else its id is the task's, and the ids of the spans that others refer to follow
//! from the task's id.
//!
//! Your own worker exports its spans with this, before it starts:
//!
//! ```no_run
//! use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};
//!
//! let tracing = pgtasker_telemetry::start("my-worker");
//! let log = tracing_subscriber::fmt::layer().with_filter(EnvFilter::new("info"));
//! let spans = tracing.as_ref().map(|tracing| tracing.layer());
//! tracing_subscriber::registry().with(log).with(spans).init();
//! // … run the worker, and at the end:
//! pgtasker_telemetry::shutdown();
//! ```

pub mod endpoint;
mod export;
mod json;
pub mod log;
mod sampling;
mod settings;
mod task_trace;
mod trace_parent;
mod tracing;

pub use self::{
    export::describe_metrics,
    json::JsonLines,
    task_trace::{Place, TaskSpan, TaskTrace},
    trace_parent::TraceParent,
    tracing::{Tracing, active, current_traceparent, flush, shutdown, start, try_start},
};
pub use opentelemetry::{KeyValue, trace::SpanKind};
