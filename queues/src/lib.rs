//! pgtasker-queues: what every process needs around pgmq: queue names, wake-ups, the installation
//! of pgmq and the schema, and the gauges of queue depth. Messages are sent and read in SQL
//! functions only. Orchestrator and worker wait by it; the CLI and the tests install by it.

pub mod metrics;
pub mod names;
pub mod wakeups;

mod install;
mod listen;
mod shared;

pub use install::{MigrationReport, OLDEST_PGMQ, Pgmq, migrate};
pub use names::{STEP_RESULTS, TASK_REQUESTS, channel, events_queue, worker_queue};
pub use wakeups::{POLL_WITHOUT_PUSH, Push, Waiter, Wakeups};
