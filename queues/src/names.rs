//! The names of queues and of their notification channels. The SQL functions build the same ones;
//! a namespace is at most 33 characters so that every name stays within pgmq's 47.

/// Carries new tasks to an orchestrator.
pub const TASK_REQUESTS: &str = "orchestration_task_requests";

/// Carries finished steps to an orchestrator.
pub const STEP_RESULTS: &str = "orchestration_step_results";

/// The queue that carries the ready steps of `namespace` to its workers.
pub fn worker_queue(namespace: &str) -> String {
    format!("worker_{namespace}_queue")
}

/// The queue that carries the durable domain events of `namespace` to their consumers.
pub fn events_queue(namespace: &str) -> String {
    format!("{namespace}_domain_events")
}

/// The channel on which the arrival of messages in `queue` is announced, with an empty payload.
pub fn channel(queue: &str) -> String {
    format!("tasker_{queue}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_fit_pgmq_and_postgres() {
        for queue in [worker_queue(&"n".repeat(33)), events_queue(&"n".repeat(33))] {
            assert!(queue.len() <= 47, "pgmq takes 47 characters, this is {}", queue.len());
            assert!(channel(&queue).len() < 64, "a longer identifier would be cut off");
        }
    }

    #[test]
    fn names_are_the_ones_the_sql_functions_use() {
        assert_eq!(worker_queue("orders"), "worker_orders_queue");
        assert_eq!(events_queue("orders"), "orders_domain_events");
        assert_eq!(channel(STEP_RESULTS), "tasker_orchestration_step_results");
    }
}
