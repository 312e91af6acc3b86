//! Publishers in another language: asked by an item, answered by its id.

use crate::{
    call::{Calls, Question},
    item::{Item, Step},
    queue::Queue,
};
use pgtasker_worker::{EventPublisher, Publication, PublisherFuture, StepContext, StepError};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use std::sync::Arc;

/// Asks the language about events of one pattern.
pub(crate) struct ForeignPublisher {
    pub(crate) pattern: String,
    pub(crate) calls: Arc<Calls>,
    pub(crate) queue: Arc<Queue>,
}

/// What the language answers: the event, null to keep it back, or why it failed.
enum Answer {
    Failed(String),
    Publish { payload: Value, metadata: Value },
    KeepBack,
}

impl EventPublisher for ForeignPublisher {
    fn publish(&self, mut publication: Publication, ctx: StepContext) -> PublisherFuture {
        let item = |id| {
            let item = Item::Publication {
                id,
                pattern: &self.pattern,
                name: publication.name(),
                payload: &publication.payload,
                metadata: &publication.metadata,
                step: Box::new(Step::new(None, &ctx)),
            };
            item.text()
        };
        let question = Question::ask(&self.calls, &self.queue, ctx.hold_slot(), item);
        Box::pin(async move {
            let answer = question.answer().await;
            let text = answer.ok_or_else(|| StepError::retryable("the worker stops"))?;
            let invalid = |error: serde_json::Error| {
                StepError::permanent(format!("its answer cannot be read: {error}"))
            };
            match answer_of(&text).map_err(invalid)? {
                Answer::Failed(error) => Err(StepError::permanent(error)),
                Answer::KeepBack => Ok(None),
                Answer::Publish { payload, metadata } => {
                    (publication.payload, publication.metadata) = (payload, metadata);
                    Ok(Some(publication))
                }
            }
        })
    }
}

fn answer_of(text: &str) -> serde_json::Result<Answer> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        error: Option<String>,
        #[serde(default, deserialize_with = "some")]
        payload: Option<Value>,
        #[serde(default)]
        metadata: Value,
    }
    fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(from).map(Some)
    }
    Ok(match serde_json::from_str::<Option<Fields>>(text)? {
        None => Answer::KeepBack,
        Some(Fields { error: Some(error), .. }) => Answer::Failed(error),
        Some(Fields { payload: Some(payload), metadata, .. }) => {
            Answer::Publish { payload, metadata }
        }
        Some(_) => return Err(Error::missing_field("payload")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_event_is_published() {
        let publishes = r#"{"payload": null, "metadata": {"a": 1}}"#;
        assert!(matches!(answer_of(publishes), Ok(Answer::Publish { .. })));
        assert!(matches!(answer_of("null"), Ok(Answer::KeepBack)));
        assert!(matches!(answer_of(r#"{"error": "no"}"#), Ok(Answer::Failed(_))));
        // A failure of a step would be an event without a payload.
        for other in [r#"{"type":"failure","message":"no"}"#, "{}", "[]", "1"] {
            assert!(answer_of(other).is_err(), "{other}");
        }
    }
}
