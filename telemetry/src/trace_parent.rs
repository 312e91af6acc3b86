//! The W3C header `traceparent`, in version 00.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use std::{fmt, str::FromStr};

/// Names a span in whatever process it is, and says whether its trace is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) flags: TraceFlags,
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTraceParent;

impl TraceParent {
    /// The trace, as 32 hexadecimal digits where it is displayed.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// None: the context is that of no span.
    pub(crate) fn of(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            trace_id: context.trace_id(),
            span_id: context.span_id(),
            flags: context.trace_flags(),
        })
    }

    /// As the parent of spans in this process.
    pub(crate) fn context(&self) -> SpanContext {
        SpanContext::new(self.trace_id, self.span_id, self.flags, true, TraceState::NONE)
    }
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    /// Later versions begin like this one and may go on after it.
    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let mut parts = text.splitn(5, '-');
        let mut part = |length: usize| {
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            parts
                .next()
                .filter(|part| part.len() == length && part.bytes().all(hex))
                .ok_or(NoTraceParent)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let trace_id = TraceId::from_hex(trace).map_err(|_| NoTraceParent)?;
        let span_id = SpanId::from_hex(span).map_err(|_| NoTraceParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NoTraceParent)?;
        let more = parts.next().is_some();
        if version == "ff" || version == "00" && more {
            return Err(NoTraceParent);
        }
        if trace_id == TraceId::INVALID || span_id == SpanId::INVALID {
            return Err(NoTraceParent);
        }
        Ok(Self { trace_id, span_id, flags: TraceFlags::new(flags) })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The one flag of version 00.
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.flags.is_sampled()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        assert_eq!(TEXT.parse::<TraceParent>().map(|t| t.to_string()), Ok(TEXT.to_owned()));
        let later = TEXT.replacen("00", "cc", 1) + "-what-comes-then";
        assert_eq!(later.parse::<TraceParent>().map(|t| t.to_string()), Ok(TEXT.to_owned()));
    }

    #[test]
    fn what_is_none_is_refused() {
        let bad = [
            "",
            "00-a-b-01",
            &TEXT.to_uppercase(),
            &format!("{TEXT}-x"),
            &format!("{TEXT}0"),
            &TEXT.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ];
        for text in bad {
            assert_eq!(text.parse::<TraceParent>(), Err(NoTraceParent), "{text}");
        }
    }
}
