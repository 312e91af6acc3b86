//! The log as JSON, one object a line: the fields of the event and of all spans it is in stand side
//! by side, so that `task_id` and `correlation_id` have one place in every line.

use serde_json::{Map, Value};
use std::fmt;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The format; its fields are those of [`JsonFields`].
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        // Inner spans go before outer ones, and the event before all.
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(Value::Object(fields))) =
                fields.map(|fields| serde_json::from_str(fields))
            {
                Fields(&mut line).extend(fields);
            }
        }
        event.record(&mut Fields(&mut line));
        line.insert("target".to_owned(), event.metadata().target().into());
        if let Some(span) = context.lookup_current() {
            line.insert("span".to_owned(), span.name().into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// What stands in a line by itself keeps its key.
const OWN: [&str; 4] = ["timestamp", "level", "target", "span"];

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn extend(&mut self, fields: Map<String, Value>) {
        for (name, value) in fields {
            self.set(&name, value);
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        let name = name.strip_prefix("r#").unwrap_or(name);
        let name = if OWN.contains(&name) { format!("{name}_") } else { name.to_owned() };
        self.0.insert(name, value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn fields_of_the_event_and_its_spans_stand_side_by_side() {
        let sink = Sink::default();
        let out = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(move || out.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _outer =
                tracing::info_span!("step", task_id = "t", n = 1, late = tracing::field::Empty)
                    .entered();
            let inner = tracing::info_span!("call", n = 2, level = "x");
            inner.in_scope(|| tracing::warn!(ok = true, "no \"luck\""));
            tracing::info!("after");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [warning, after] = &lines[..] else { panic!("{text}") };
        assert_eq!(
            (&warning["task_id"], &warning["n"], &warning["ok"]),
            (&"t".into(), &2.into(), &true.into())
        );
        assert_eq!(
            (&warning["message"], &warning["level"]),
            (&"no \"luck\"".into(), &"WARN".into())
        );
        assert_eq!((&warning["level_"], &warning["span"]), (&"x".into(), &"call".into()));
        assert_eq!(
            (&after["n"], &after["span"], after.get("late")),
            (&1.into(), &"step".into(), None)
        );
        assert!(after["timestamp"].as_str().unwrap().ends_with('Z'), "{after}");
    }
}
