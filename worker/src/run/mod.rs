//! Running: from a claimed step to what is to be told of it, in transactions of its own too.

mod own;
mod own_transaction;
mod polls;
pub(crate) mod prepared;
mod ran;
mod runner;
mod slot;
mod sql_slots;
mod step_trace;
pub(crate) mod storable;
mod template_cache;
pub(crate) mod transaction;

pub(crate) use own::Own;
pub(crate) use own_transaction::OwnTransaction;
pub(crate) use polls::Polls;
pub use prepared::Prepared;
pub(crate) use ran::Ran;
pub(crate) use runner::{Runner, judge, run};
pub(crate) use slot::Slot;
pub use slot::StepSlot;
pub(crate) use sql_slots::SqlSlots;
pub(crate) use template_cache::{Template, TemplateCacheActor};
