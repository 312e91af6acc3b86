//! The events that go with a result: those the handler has published, and those its template
//! declares.

use super::{
    declared::{Condition, Declared, Fate},
    publication::Publication,
    publisher::Publishers,
    step_event::StepEvent,
};
use crate::{
    StepContext,
    error::panic_text,
    run::storable::{self, json_bytes},
};
use chrono::Utc;
use futures_util::FutureExt;
use pgtasker_core::{DomainEvent, StepOutcome};
use serde_json::{Value, json};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// For the events of one result together, as JSON: what goes with a result must fit into a call,
/// which takes 256 MB.
const MAX_BYTES: usize = 64 << 20;
/// Letters of a name; no template declares a longer one.
const MAX_NAME: usize = 200;
/// For the publishers of one result together: it waits for them.
const PUBLISHERS: Duration = Duration::from_secs(10);

/// The events that go with this outcome of the step's handler.
pub(crate) async fn outgoing(
    ctx: &StepContext,
    publishers: &Publishers,
    outcome: &StepOutcome,
    stop: &CancellationToken,
) -> Vec<StepEvent> {
    let published = ctx.own.published();
    let step = ctx.template.step(&ctx.claim.template_step);
    let declared = step.map_or(&[][..], |step| &step.events);
    if declared.is_empty() && published.is_empty() {
        return Vec::new();
    }
    let fate = Fate::of(outcome, ctx.attempt(), step.map_or(0, |step| step.max_attempts));
    // What the handler publishes itself takes the place of the default.
    let mut publications: Vec<Publication> = declared
        .iter()
        .filter(|event| {
            fate != Fate::Checkpoint && !published.iter().any(|p| p.name() == event.name)
        })
        .map(|event| Publication::new(&event.name, default_payload(ctx, outcome)))
        .collect();
    publications.extend(published);
    let deadline = Instant::now() + PUBLISHERS;
    let mut events = Vec::with_capacity(publications.len());
    for publication in publications {
        let declared = declared.iter().find(|event| event.name == publication.name());
        // People are told of an undeclared event in any case.
        let condition = declared.map_or(Condition::Always, |event| event.condition);
        if fate.meets(condition)
            && let (Some(publication), problem) =
                published_by(ctx, publishers, publication, deadline, stop).await
        {
            events.push(finish(ctx, publication, problem, declared));
        }
    }
    for event in events.iter_mut().filter(|event| event.problem.is_none()) {
        if let Some(declared) = declared.iter().find(|declared| declared.name == event.event.name) {
            event.problem = declared.problem(&event.event.payload).await;
        }
    }
    let mut bytes = 0;
    for event in &mut events {
        bytes += json_bytes(event);
        if bytes > MAX_BYTES {
            event.withhold("the events of one result are larger than 64 MiB together");
        }
    }
    events
}

/// What its publisher makes of it, None where that keeps it back; and why it becomes a dead letter.
async fn published_by(
    ctx: &StepContext,
    publishers: &Publishers,
    publication: Publication,
    deadline: Instant,
    stop: &CancellationToken,
) -> (Option<Publication>, Option<String>) {
    let Some((_, publisher)) =
        publishers.iter().find(|(pattern, _)| pattern.matches(publication.name()))
    else {
        return (Some(publication), None);
    };
    let before = publication.clone();
    let publish = AssertUnwindSafe(async {
        // What is too late is not even begun.
        tokio::task::yield_now().await;
        publisher.publish(publication, ctx.clone()).await
    });
    let publish = stop.run_until_cancelled(publish.catch_unwind());
    let problem = match timeout_at(deadline, publish).await {
        Ok(Some(Ok(Ok(publication)))) => return (publication, None),
        Ok(Some(Ok(Err(error)))) => format!("the event's publisher failed: {error}"),
        Ok(Some(Err(panic))) => {
            format!("the event's publisher panicked: {}", panic_text(panic.as_ref()))
        }
        Ok(None) => "the worker stopped before the event's publisher had ended".to_owned(),
        Err(_) => format!("the publishers of the result took longer than {PUBLISHERS:?}"),
    };
    (Some(before), Some(problem.replace('\0', "\u{fffd}")))
}

fn finish(
    ctx: &StepContext,
    publication: Publication,
    mut problem: Option<String>,
    declared: Option<&Declared>,
) -> StepEvent {
    let name = storable_name(publication.name());
    let (mut payload, mut metadata) = (publication.payload, publication.metadata);
    for (what, value) in [("payload", &mut payload), ("metadata", &mut metadata)] {
        if let Some(error) = storable::refusal(what, value) {
            problem = Some(error.message().to_owned());
            *value = Value::Null;
        }
    }
    let event = DomainEvent {
        id: Uuid::now_v7(),
        version: declared.map(|event| event.version.clone()).unwrap_or_default(),
        namespace: ctx.template.namespace.clone(),
        template: ctx.template.name.clone(),
        task_id: ctx.task_id(),
        step: ctx.step().to_owned(),
        claim_no: ctx.claim_no(),
        correlation_id: ctx.correlation_id(),
        traceparent: ctx.traceparent().map(str::to_owned),
        time: Utc::now(),
        name,
        payload,
        metadata,
    };
    StepEvent { event: Arc::new(event), delivery: declared.map(|event| event.delivery), problem }
}

/// What a handler published under a name that none can have is an event that nobody has declared.
fn storable_name(name: &str) -> String {
    name.chars().take(MAX_NAME).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}

fn default_payload(ctx: &StepContext, outcome: &StepOutcome) -> Value {
    match outcome {
        StepOutcome::Success { result }
        | StepOutcome::Decision { result, .. }
        | StepOutcome::Batches { result, .. } => result.clone(),
        StepOutcome::Failure(failure) => json!({
            "message": failure.message,
            "code": failure.code,
            "retryable": failure.retryable,
            "attempt": ctx.attempt(),
        }),
        StepOutcome::Checkpoint { .. } | StepOutcome::Skip {} => Value::Null,
    }
}
