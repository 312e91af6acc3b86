//! An OTLP receiver on this machine: takes spans over HTTP as protobuf, as a collector does.

use crate::{WebServer, eventually};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::status::StatusCode,
};
use prost::Message;
use std::{collections::BTreeMap, time::Duration};

/// A span as a test looks at it; ids are hexadecimal.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// OTEL_SERVICE_NAME of who sent it.
    pub service: String,
    /// Its trace.
    pub trace_id: String,
    /// Itself.
    pub span_id: String,
    /// Empty: none.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// As text.
    pub attributes: BTreeMap<String, String>,
    /// The message of a span that failed.
    pub error: Option<String>,
    /// Names of its events.
    pub events: Vec<String>,
    /// Nanoseconds.
    pub start: u64,
    /// Nanoseconds.
    pub end: u64,
}

/// The receiver.
pub struct Collector(WebServer);

impl Collector {
    /// Runs until the test ends.
    pub async fn start() -> Self {
        Self(WebServer::start(&[(200, "")]).await)
    }

    /// The value of OTEL_EXPORTER_OTLP_ENDPOINT.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// The value of a header in all requests so far, each once.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let mut values: Vec<String> = self
            .0
            .requests()
            .iter()
            .filter_map(|request| request.headers.get(name).cloned())
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// All spans so far, in the order of their beginning.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for request in self.0.requests() {
            assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
            assert_eq!(request.headers["content-type"], "application/x-protobuf");
            let export = ExportTraceServiceRequest::decode(request.bytes.as_slice()).unwrap();
            for group in export.resource_spans {
                let resource = texts(group.resource.unwrap().attributes);
                for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    let failed = |status: &opentelemetry_proto::tonic::trace::v1::Status| {
                        status.code == i32::from(StatusCode::Error)
                    };
                    spans.push(Span {
                        service: resource["service.name"].clone(),
                        trace_id: hex(&span.trace_id),
                        span_id: hex(&span.span_id),
                        parent_id: hex(&span.parent_span_id),
                        name: span.name,
                        attributes: texts(span.attributes),
                        error: span.status.filter(failed).map(|status| status.message),
                        events: span.events.into_iter().map(|event| event.name).collect(),
                        start: span.start_time_unix_nano,
                        end: span.end_time_unix_nano,
                    });
                }
            }
        }
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// The spans of a trace, once one of them has this name.
    pub async fn trace(&self, trace_id: &str, name: &str) -> Vec<Span> {
        eventually(&format!("{name} in trace {trace_id}"), Duration::from_secs(40), async || {
            let spans: Vec<Span> =
                self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect();
            if spans.iter().any(|span| span.name == name) { Ok(spans) } else { Err(spans) }
        })
        .await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |attribute: KeyValue| {
        let value = match attribute.value?.value? {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(flag) => flag.to_string(),
            other => format!("{other:?}"),
        };
        Some((attribute.key, value))
    };
    attributes.into_iter().filter_map(text).collect()
}
