//! Unit tests of handlers: runs one without a worker and without a database, and judges its end as
//! a worker would.
//!
//! ```
//! use pgtasker_worker::{StepContext, StepError, StepOutcome, testing::TestStep};
//! use serde_json::json;
//!
//! async fn charge(ctx: StepContext) -> Result<StepOutcome, StepError> {
//!     let amount: u64 = ctx.parent("reserve")?;
//!     ctx.publish("payment.processed", json!({"amount": amount}));
//!     Ok(StepOutcome::success(json!({"charged": amount})))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let tested = TestStep::new().parent("reserve", 7).run(charge).await;
//! assert_eq!(tested.outcome, StepOutcome::success(json!({"charged": 7})));
//! assert_eq!(tested.published[0].name(), "payment.processed");
//! # }
//! ```

use crate::{
    Handler, Publication, StepContext,
    claim::Claim,
    http_client::HttpClient,
    run::{judge, storable::storable},
    shared::StateMap,
};
use pgtasker_core::StepOutcome;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::{
    any::TypeId,
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A step for one handler. Without more it is the first attempt of a step `step`, whose context and
/// configuration are `{}` and which has no parents.
pub struct TestStep {
    pub(crate) claim: Claim,
    config: Box<RawValue>,
    state: StateMap,
    cancelled: CancellationToken,
}

/// What came of a handler.
#[derive(Debug)]
pub struct Tested {
    /// As the worker would submit it: errors, panics, and timeouts are failures, and so is a result
    /// that cannot be stored.
    pub outcome: StepOutcome,
    /// The events that the handler published, in order.
    pub published: Vec<Publication>,
}

/// # Panics
/// It has no form in JSON: a map whose keys are no text, for instance.
fn raw(value: impl Serialize) -> Box<RawValue> {
    to_raw_value(&value).expect("the value has no form in JSON")
}

impl Default for TestStep {
    fn default() -> Self {
        let claim = Claim {
            task_id: Uuid::now_v7(),
            step: "step".into(),
            template_id: Uuid::nil(),
            template_step: "step".to_owned(),
            handler: "handler".to_owned(),
            attempt: 1,
            claim_no: 1,
            context: raw(BTreeMap::<String, ()>::new()),
            inputs: RawValue::NULL.to_owned(),
            parents: BTreeMap::new(),
            paged: false,
            bytes: 0,
            checkpoint: RawValue::NULL.to_owned(),
            timeout: Duration::from_secs(300),
            correlation_id: None,
            traceparent: None,
            lease: None,
            waited: None,
            lease_losses: 0,
            run_alone: false,
        };
        Self {
            claim,
            config: raw(BTreeMap::<String, ()>::new()),
            state: StateMap::new(),
            cancelled: CancellationToken::new(),
        }
    }
}

impl TestStep {
    /// See the type.
    pub fn new() -> Self {
        Self::default()
    }

    /// The task's input.
    pub fn context(mut self, context: impl Serialize) -> Self {
        self.claim.context = raw(context);
        self
    }

    /// The handler's configuration in the template.
    pub fn config(mut self, config: impl Serialize) -> Self {
        self.config = raw(config);
        self
    }

    /// The result of a parent.
    pub fn parent(mut self, name: &str, result: impl Serialize) -> Self {
        self.claim.parents.insert(name.to_owned(), raw(result));
        self
    }

    /// What the template makes as its inputs.
    pub fn inputs(mut self, inputs: impl Serialize) -> Self {
        self.claim.inputs = raw(inputs);
        self
    }

    /// Makes it an instance of a batch, with this cursor.
    pub fn cursor(mut self, cursor: impl Serialize) -> Self {
        self.claim.inputs = raw(cursor);
        self.claim.step = format!("{}_001", self.claim.template_step).into();
        self
    }

    /// What it saved last: a [`crate::Checkpoint`].
    pub fn checkpoint(mut self, checkpoint: impl Serialize) -> Self {
        self.claim.checkpoint = raw(checkpoint);
        self
    }

    /// Which attempt it is, from 1.
    pub fn attempt(mut self, attempt: i32) -> Self {
        self.claim.attempt = attempt;
        self
    }

    /// How long the handler may take; five minutes otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.claim.timeout = timeout;
        self
    }

    /// What [`crate::WorkerBuilder::state`] would give it.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// Fires [`StepContext::cancelled`] when the test wants it.
    pub fn cancelled(mut self, token: CancellationToken) -> Self {
        self.cancelled = token;
        self
    }

    /// Runs the handler. Its own transaction, and pages of results, need a worker: asked for, they
    /// are permanent errors.
    pub async fn run(self, handler: impl Handler) -> Tested {
        let ctx = self.into_context();
        let own = Arc::clone(&ctx.own);
        let outcome = storable(judge(&handler, ctx).await);
        Tested { outcome, published: own.published() }
    }

    pub(crate) fn into_context(self) -> StepContext {
        StepContext {
            claim: Arc::new(self.claim),
            config: self.config.into(),
            state: Arc::new(self.state),
            cancelled: self.cancelled,
            template: Arc::default(),
            worker: None,
            own: Arc::default(),
            http: HttpClient::default(),
            traceparent: None,
            slot: Weak::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batchable, Cursor, StepError};
    use serde_json::json;

    fn failed(tested: &Tested) -> (&str, bool) {
        let StepOutcome::Failure(failure) = &tested.outcome else { panic!("no failure") };
        (failure.code.as_deref().unwrap_or_default(), failure.retryable)
    }

    #[tokio::test]
    async fn a_handler_gets_what_the_test_says() {
        let tested = TestStep::new()
            .context(json!({"a": 1}))
            .config(json!({"b": 2}))
            .cursor(Cursor { start: 3, end: 4 })
            .attempt(5)
            .state(6_u8)
            .run(|ctx: StepContext| async move {
                let context: serde_json::Value = ctx.context()?;
                let config: serde_json::Value = ctx.config()?;
                let cursor: Cursor = ctx.cursor()?;
                let state = *ctx.state::<u8>()?;
                Ok(StepOutcome::success(json!([
                    context["a"],
                    config["b"],
                    cursor.start,
                    cursor.end,
                    ctx.attempt(),
                    state
                ])))
            })
            .await;
        assert_eq!(tested.outcome, StepOutcome::success(json!([1, 2, 3, 4, 5, 6])));
    }

    #[tokio::test]
    async fn its_end_is_judged_as_a_worker_would() {
        let panics = |_| async { panic!("x") };
        assert_eq!(failed(&TestStep::new().run(panics).await), ("panic", true));
        let nul = |_| async { Ok(StepOutcome::success("\0")) };
        assert_eq!(failed(&TestStep::new().run(nul).await), ("invalid_result", false));
        let hangs = |_| std::future::pending::<Result<StepOutcome, StepError>>();
        let short = TestStep::new().timeout(Duration::from_millis(5));
        assert_eq!(failed(&short.run(hangs).await), ("timeout", true));
        let begins = |ctx: StepContext| async move {
            ctx.begin().await?.rollback().await;
            Ok(StepOutcome::success(()))
        };
        assert_eq!(failed(&TestStep::new().run(begins).await), ("", false));
    }
}
