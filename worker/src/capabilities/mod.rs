//! Capabilities: extension traits on [`crate::StepContext`], brought into scope by `use` and freely
//! combined in one handler.

mod api;
mod batchable;
mod decision;
mod parents;

#[cfg(test)]
mod tests;

pub use api::{Api, ApiRequest, ApiResponse};
pub use batchable::{Batch, BatchPages, Batchable, Checkpoint, Cursor, Instance};
pub use decision::Decision;
pub use parents::ParentPages;

pub(crate) use api::without_bom;
