//! What a step leaves in the log and, where tracing is on, in its task's trace: its wait in the
//! queue and its handler.

use super::Template;
use crate::{claim::Claim, submit::Report};
use pgtasker_core::StepOutcome;
use pgtasker_telemetry::{KeyValue, Place, SpanKind, TaskSpan, Tracing};
use std::{borrow::Cow, sync::Arc};
use tracing::{Span, field};
use uuid::Uuid;

/// One execution of one step.
pub(crate) struct StepTrace {
    /// Everything logged for the step is logged in it.
    pub(crate) span: Span,
    /// The handler's, for whatever it calls. None: tracing is off.
    pub(crate) traceparent: Option<Arc<str>>,
    tracing: Option<&'static Tracing>,
}

impl StepTrace {
    pub(crate) fn begin(claim: &Claim, worker_id: Uuid) -> Self {
        // At the highest level: every log line about a step names it.
        let span = tracing::error_span!(
            "step",
            task_id = %claim.task_id,
            correlation_id = claim.correlation_id.map(field::display),
            step = %claim.step,
            handler = %claim.handler,
            attempt = claim.attempt,
            trace_id = field::Empty,
        );
        let mut step = Self { span, traceparent: None, tracing: pgtasker_telemetry::active() };
        if let Some(tracing) = step.tracing {
            step.join(tracing, claim, worker_id);
        }
        step
    }

    /// The spans of the step are children of its task's.
    fn join(&mut self, tracing: &Tracing, claim: &Claim, worker_id: Uuid) {
        let trace = tracing.task(claim.task_id, claim.traceparent.as_deref());
        if let Some((start, end)) = claim.waited {
            let mut attributes = vec![
                KeyValue::new("task_id", claim.task_id.to_string()),
                KeyValue::new("step", claim.step.to_string()),
            ];
            attributes.extend(own(claim, worker_id));
            attributes.extend(
                claim.correlation_id.map(|id| KeyValue::new("correlation_id", id.to_string())),
            );
            tracing.export(
                &trace,
                TaskSpan {
                    place: Place::Child(format!("queue wait {} {}", claim.step, claim.claim_no)),
                    name: "queue wait".to_owned(),
                    kind: SpanKind::Consumer,
                    start,
                    end,
                    attributes,
                    error: None,
                },
            );
        }
        let adopted = tracing.adopt(&self.span, &trace, format!("step {}", claim.template_step));
        let parent = adopted.unwrap_or_else(|| trace.root());
        self.span.record("trace_id", field::display(parent.trace_id()));
        tracing.describe(&self.span, own(claim, worker_id));
        self.traceparent = Some(parent.to_string().into());
    }

    /// Says which template the step is of.
    pub(crate) fn template(&self, template: &Template) {
        if let Some(tracing) = self.tracing {
            let names = [("namespace", &template.namespace), ("template", &template.name)];
            tracing.describe(&self.span, names.map(|(key, name)| KeyValue::new(key, name.clone())));
        }
    }

    /// Says what came of it; none: its own transaction has submitted that.
    pub(crate) fn end(self, report: Option<&Report>) {
        let Some(tracing) = self.tracing else { return };
        let (outcome, problem): (_, Option<Cow<'_, str>>) = match report {
            None => ("submitted", None),
            Some(Report::Release { reason, .. }) => ("released", Some(reason.into())),
            Some(Report::Result(result)) => match &result.outcome {
                StepOutcome::Failure(failure) => {
                    tracing.describe(&self.span, [KeyValue::new("retryable", failure.retryable)]);
                    tracing.describe(
                        &self.span,
                        failure.code.clone().map(|code| KeyValue::new("code", code)),
                    );
                    (result.outcome.kind(), Some(failure.message.as_str().into()))
                }
                outcome => (outcome.kind(), None),
            },
        };
        tracing.describe(&self.span, [KeyValue::new("outcome", outcome)]);
        if let Some(problem) = problem {
            tracing.fail(&self.span, &problem);
        }
    }
}

/// What the log does not repeat on every line.
fn own(claim: &Claim, worker_id: Uuid) -> [KeyValue; 2] {
    [
        KeyValue::new("claim_no", i64::from(claim.claim_no)),
        KeyValue::new("worker_id", worker_id.to_string()),
    ]
}
