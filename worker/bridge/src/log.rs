//! The log of this side, handed to the language, which has loggers of its own. Bounded: what a
//! language does not take in time is lost and counted.

use crate::item::text;
use serde::Serialize;
use serde_json::{Map, Value};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};
use tokio::sync::Notify;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    EnvFilter, Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

/// Lines that wait.
const MAX_LINES: usize = 1_000;
/// What is logged unless something else is asked for. sqlx complains of each broken connection,
/// which its caller reports as well.
const DEFAULT: &str = "info,sqlx=off";

/// A line was logged.
pub(crate) static READY: Notify = Notify::const_new();
static LINES: Mutex<Lines> = Mutex::new(Lines { waiting: VecDeque::new(), lost: 0 });

struct Lines {
    waiting: VecDeque<String>,
    lost: u64,
}

/// As the language gets it.
#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    level: &'a str,
    target: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: &'a Map<String, Value>,
}

fn lines() -> MutexGuard<'static, Lines> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next line; after a loss first how many were lost.
pub(crate) fn next() -> Option<String> {
    let mut lines = lines();
    if lines.lost > 0 {
        let message = format!("{} lines of the log were lost", lines.lost);
        lines.lost = 0;
        let (level, target, fields) = ("WARN", module_path!(), &Map::new());
        return Some(text(&Line { r#type: "log", level, target, message: &message, fields }));
    }
    lines.waiting.pop_front()
}

/// Hands the log of this process to the next poll, from the first call on; `filter` in the form of
/// RUST_LOG, which has precedence. A process that has a log already keeps it. Returns what is
/// wrong with the filter.
pub(crate) fn start(filter: Option<&str>) -> Result<(), String> {
    static STARTED: Once = Once::new();
    let own = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = own.as_deref().or(filter).unwrap_or(DEFAULT);
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log: {error}"))?;
    STARTED.call_once(|| {
        let traces = pgtasker_telemetry::start("tasker-worker");
        let spans = traces.as_ref().map(|traces| traces.layer());
        let log = Forward.with_filter(filter);
        // The process may have a log of its own.
        tracing_subscriber::registry().with(log).with(spans).try_init().ok();
    });
    Ok(())
}

struct Forward;

/// What a span says of the lines within it. Every step has a span, and hardly any a line: what is
/// kept of it is cheap to make.
struct SpanFields(Vec<(&'static str, Value)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields.others));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut named = Map::new();
        let mut add = |(name, value): (&str, Value)| {
            named.entry(name).or_insert(value);
        };
        fields.others.into_iter().for_each(&mut add);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(of_span)) = span.extensions().get() {
                of_span.iter().cloned().for_each(&mut add);
            }
        }
        let metadata = event.metadata();
        let line = text(&Line {
            r#type: "log",
            level: metadata.level().as_str(),
            target: metadata.target(),
            message: &fields.message,
            fields: &named,
        });
        let mut lines = lines();
        if lines.waiting.len() == MAX_LINES {
            lines.waiting.pop_front();
            lines.lost += 1;
        }
        lines.waiting.push_back(line);
        drop(lines);
        READY.notify_one();
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}
