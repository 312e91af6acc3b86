//! What a handler gets: its step's data with typed access, the state given to the builder, and a
//! token that says when to stop.

use crate::{
    Publication, StepError,
    claim::Claim,
    fields::typed,
    http_client::HttpClient,
    run::{Own, Slot, StepSlot, Template, storable},
    shared::{Shared, StateMap},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use std::{
    any::{TypeId, type_name},
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// One execution of one step. Cheap to clone.
#[derive(Clone)]
pub struct StepContext {
    pub(crate) claim: Arc<Claim>,
    pub(crate) config: Arc<RawValue>,
    pub(crate) template: Arc<Template>,
    pub(crate) state: Arc<StateMap>,
    pub(crate) cancelled: CancellationToken,
    /// For its own transaction; None outside of a worker.
    pub(crate) worker: Option<Arc<Shared>>,
    pub(crate) own: Arc<Own>,
    pub(crate) http: HttpClient,
    /// From the handler's own span; None where tracing is off.
    pub(crate) traceparent: Option<Arc<str>>,
    /// Weak: a context that outlives its step holds no place of the worker.
    pub(crate) slot: Weak<Slot>,
}

impl StepContext {
    /// The task this step belongs to.
    pub fn task_id(&self) -> Uuid {
        self.claim.task_id
    }

    /// The name of the step; an instance of a batch step carries its number, as in `load_007`.
    pub fn step(&self) -> &str {
        &self.claim.step
    }

    /// The name by which the template calls the handler: `callable`, or `callable.method`.
    pub fn handler(&self) -> &str {
        &self.claim.handler
    }

    /// Counts the executions that count against the template's `max_attempts`, from 1.
    pub fn attempt(&self) -> i32 {
        self.claim.attempt
    }

    /// The fence of this execution: every claim of a step has a higher one than those before.
    pub fn claim_no(&self) -> i32 {
        self.claim.claim_no
    }

    /// The caller's id for everything that belongs together.
    pub fn correlation_id(&self) -> Option<Uuid> {
        self.claim.correlation_id
    }

    /// The W3C trace context for what the handler calls: that of its own span, and where tracing is
    /// off the one the task was enqueued with.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref().or(self.claim.traceparent.as_deref())
    }

    /// How long the handler may take, by its template.
    pub fn timeout(&self) -> Duration {
        self.claim.timeout
    }

    /// The task's input as PostgreSQL wrote it.
    pub fn context_json(&self) -> &RawValue {
        &self.claim.context
    }

    /// The handler's configuration in the template, as PostgreSQL wrote it.
    pub fn config_json(&self) -> &RawValue {
        &self.config
    }

    /// [`Self::inputs`] as PostgreSQL wrote them.
    pub fn inputs_json(&self) -> &RawValue {
        &self.claim.inputs
    }

    /// What the step saved last, as PostgreSQL wrote it: `cursor`, `items_processed`, and
    /// `accumulated`; `null` where it has saved nothing.
    pub fn checkpoint_json(&self) -> &RawValue {
        &self.claim.checkpoint
    }

    /// Whether this step is an instance of a batch, so that it has a cursor.
    pub fn is_batch_instance(&self) -> bool {
        *self.claim.step != *self.claim.template_step
    }

    /// Whether the parents' results are too large for the claim, so that they come by
    /// [`StepContext::parent_pages`] only.
    pub fn is_paged(&self) -> bool {
        self.claim.paged
    }

    /// Keeps the step's place among the worker's concurrency taken, for code that may go on after
    /// the handler's future has ended: a thread that nobody can stop after a timeout. The worker
    /// claims no step in its place until this is dropped; where such handlers have taken all
    /// places, it is unhealthy.
    pub fn hold_slot(&self) -> StepSlot {
        StepSlot { _slot: self.slot.upgrade() }
    }

    /// The task's input. Like [`StepContext::config`], [`StepContext::inputs`], and
    /// [`StepContext::parent`] it reads the text that PostgreSQL wrote: a `serde_json::Value` keeps
    /// every digit of a number, an `i64` or `u64` refuses one that does not fit, an `f64` rounds,
    /// and a `Box<serde_json::value::RawValue>` takes the text as it is, also where it is nested
    /// more than the 127 levels that serde_json reads.
    ///
    /// # Errors
    /// A permanent one that names the field, when the context does not fit `T`.
    pub fn context<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        typed("context", &self.claim.context)
    }

    /// The handler's configuration in the template; `{}` when the template has none.
    ///
    /// # Errors
    /// A permanent one that names the field, when the configuration does not fit `T`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        typed("config", &self.config)
    }

    /// What the template makes as the step's `inputs`, or the cursor of a batch instance; `null`
    /// for a step without either.
    ///
    /// # Errors
    /// A permanent one that names the field, when the inputs do not fit `T`.
    pub fn inputs<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        typed("inputs", &self.claim.inputs)
    }

    /// The result of the parent step `name`.
    ///
    /// # Errors
    /// A permanent one, when there is no such parent or its result does not fit `T`.
    pub fn parent<T: DeserializeOwned>(&self, name: &str) -> Result<T, StepError> {
        let Some(result) = self.claim.parents.get(name) else {
            if self.claim.paged {
                let text = format!(
                    "parents.{name}: too large for a claim: read it with StepContext::parent_pages"
                );
                return Err(StepError::permanent(text).code("input_too_large"));
            }
            let known =
                self.claim.parents.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            let text = format!(
                "parents.{name}: not a parent of step {} (its parents: {known})",
                self.step()
            );
            return Err(StepError::permanent(text).code("invalid_input"));
        };
        typed(&format!("parents.{name}"), result)
    }

    /// The results of all parents as JSON text, by step name; empty where they come by
    /// [`StepContext::parent_pages`] only.
    pub fn parents(&self) -> &BTreeMap<String, Box<RawValue>> {
        &self.claim.parents
    }

    /// The value of type `T` that was given to [`crate::WorkerBuilder::state`].
    ///
    /// # Errors
    /// A permanent one that names `T`, when the worker was built without it.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&T, StepError> {
        self.state.get(&TypeId::of::<T>()).and_then(|state| state.downcast_ref()).ok_or_else(|| {
            let name = type_name::<T>();
            StepError::permanent(format!(
                "this worker has no state {name}: give it to Worker::builder(…).state(…)"
            ))
        })
    }

    /// Whether results of this step may have events that the handler knows nothing of.
    pub(crate) fn declares_events(&self) -> bool {
        self.template.step(&self.claim.template_step).is_some_and(|step| !step.events.is_empty())
    }

    /// Publishes a domain event with this step's result: once that is accepted, and if the event's
    /// condition in the template holds for it. Before a checkpoint, with the checkpoint. A retried
    /// step publishes again what it publishes again. For an event of this name the worker then
    /// publishes none by itself.
    ///
    /// It never fails the step: an event that the step does not declare under `publishes_events`,
    /// or whose payload breaks its schema, becomes a dead letter.
    pub fn publish(&self, name: &str, payload: impl Into<Value>) {
        let mut payload = payload.into();
        storable::trim(&mut payload);
        self.own.publish(Publication::new(name, payload));
    }

    /// Fires when working on is pointless: the task was cancelled, the lease was lost, the timeout
    /// is over, or the worker's grace period is. In the last two cases the handler's future is
    /// dropped as well; the token is for what the handler spawned.
    pub fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }
}

impl std::fmt::Debug for StepContext {
    /// Names the step; never shows its data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepContext")
            .field("task_id", &self.claim.task_id)
            .field("step", &self.claim.step)
            .field("attempt", &self.claim.attempt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::context;
    use serde_json::json;
    use std::any::Any;

    #[test]
    fn a_missing_parent_is_named_with_those_there_are() {
        let ctx = context(json!({}), json!({}), json!({"reserve": {"n": 1}}));
        let error = ctx.parent::<Value>("charge").unwrap_err();
        assert_eq!(
            error.message(),
            "parents.charge: not a parent of step s (its parents: reserve)"
        );
        let error = ctx.parent::<u32>("reserve").unwrap_err();
        assert!(error.message().starts_with("parents.reserve: invalid type: map"), "{error}");
    }

    #[test]
    fn state_comes_by_type() {
        let mut ctx = context(json!({}), json!({}), json!({}));
        assert!(ctx.state::<u32>().unwrap_err().message().contains("u32"));
        let state: StateMap =
            [(TypeId::of::<u32>(), Arc::new(7_u32) as Arc<dyn Any + Send + Sync>)].into();
        ctx.state = Arc::new(state);
        assert_eq!(ctx.state::<u32>().unwrap(), &7);
    }
}
