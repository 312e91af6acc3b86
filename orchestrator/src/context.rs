//! What the actors of one orchestrator have in common, each with a connection of its own.

use crate::{due::DueTimes, stats::Stats};
use pgtasker_core::connection::OwnConnection;
use pgtasker_queues::Waiter;
use std::time::Duration;
use uuid::Uuid;

/// What an actor needs.
pub(crate) struct Context {
    pub(crate) connection: OwnConnection,
    pub(crate) waiter: Waiter,
    pub(crate) due: DueTimes,
    pub(crate) stats: Stats,
    pub(crate) id: Uuid,
    pub(crate) batch_size: i32,
    pub(crate) poll_interval: Duration,
}
