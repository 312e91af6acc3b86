//! Claiming: the steps that this process holds, from the claim until the database has the result.

mod held;
mod row;

pub(crate) mod dispatch;
pub(crate) mod executor;
pub(crate) mod leases;
mod run_alone;

pub(crate) use held::{Claims, LONGEST_ROUND, StepKey, Ticket, claims_json};
pub(crate) use row::Claim;
