//! The process around the actors: how it is started, what it says of itself, and its threads.

pub(crate) mod apart;
mod serve;
mod status;
mod tasks;

pub use serve::{ServeError, Served, serve};
pub(crate) use status::WorkerStatusActor;
pub(crate) use tasks::{join, propagate};
