//! The trace of a task: what every process knows of it from the task's id and traceparent alone.

use crate::{TraceParent, sampling::Sampling};
use opentelemetry::{
    KeyValue,
    trace::{SpanId, SpanKind, TraceFlags, TraceId},
};
use std::time::SystemTime;
use uuid::Uuid;

/// One task's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTrace {
    task_id: Uuid,
    trace_id: TraceId,
    caller: Option<SpanId>,
    sampled: bool,
}

impl TaskTrace {
    pub(crate) fn new(task_id: Uuid, traceparent: Option<&str>, sampling: &Sampling) -> Self {
        let caller: Option<TraceParent> = traceparent.and_then(|text| text.parse().ok());
        let own = || TraceId::from_bytes(task_id.into_bytes());
        let trace_id = caller.map_or_else(own, |caller| caller.trace_id);
        let sampled = sampling.samples(caller.as_ref(), trace_id);
        Self { task_id, trace_id, caller: caller.map(|caller| caller.span_id), sampled }
    }

    /// Whether its spans are exported.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The context of the task's own span, the parent of all others. It is exported when the task
    /// has ended.
    pub fn root(&self) -> TraceParent {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        TraceParent { trace_id: self.trace_id, span_id: self.root_id(), flags }
    }

    /// The caller's span, the parent of the task's.
    pub(crate) fn caller(&self) -> SpanId {
        self.caller.unwrap_or(SpanId::INVALID)
    }

    /// The random end of the task's id.
    fn root_id(&self) -> SpanId {
        let [.., a, b, c, d, e, f, g, h] = self.task_id.into_bytes();
        SpanId::from_bytes([a, b, c, d, e, f, g, h])
    }

    /// The same for the same place: what is exported twice is one span.
    pub(crate) fn span_id(&self, place: &Place) -> SpanId {
        match place {
            Place::Root => self.root_id(),
            // FNV-1a; never the invalid id.
            Place::Child(key) => {
                let fold =
                    |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                let hash = self
                    .task_id
                    .as_bytes()
                    .iter()
                    .chain(key.as_bytes())
                    .fold(0xcbf2_9ce4_8422_2325, fold);
                SpanId::from_bytes(hash.max(1).to_be_bytes())
            }
        }
    }
}

/// Where in its task's trace a span stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The task itself, below its caller.
    Root,
    /// Below the task; unlike others by this key.
    Child(String),
}

/// A span that is known only when it is over.
#[derive(Debug, Clone)]
pub struct TaskSpan {
    /// Where in the trace.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Its beginning.
    pub start: SystemTime,
    /// Its end; before its beginning counts as at it.
    pub end: SystemTime,
    /// What else is to be known.
    pub attributes: Vec<KeyValue>,
    /// Why it failed.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(task_id: Uuid, traceparent: Option<&str>) -> TaskTrace {
        TaskTrace::new(task_id, traceparent, &Sampling::named(None, None).0)
    }

    #[test]
    fn a_task_continues_its_callers_trace_or_is_one_of_its_own() {
        let id = Uuid::now_v7();
        let own = trace(id, None);
        assert_eq!(own.root().trace_id.to_string(), id.simple().to_string());
        assert_eq!((own.caller(), own.is_sampled()), (SpanId::INVALID, true));
        let called = trace(id, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"));
        assert_eq!(called.root().trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(
            (called.caller().to_string().as_str(), called.is_sampled()),
            ("b7ad6b7169203331", false)
        );
        assert_eq!(called.root().span_id, own.root().span_id);
        assert_eq!(trace(id, Some("nonsense")), own);
    }

    #[test]
    fn places_have_ids_of_their_own_that_are_always_the_same() {
        let id = Uuid::now_v7();
        let child = |id, key: &str| trace(id, None).span_id(&Place::Child(key.to_owned()));
        assert_eq!(child(id, "a"), child(id, "a"));
        assert_ne!(child(id, "a"), child(id, "b"));
        assert_ne!(child(id, "a"), child(Uuid::now_v7(), "a"));
        assert_ne!(child(id, "a"), trace(id, None).span_id(&Place::Root));
    }
}
