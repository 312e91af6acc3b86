//! The metrics that every process has, whatever it runs: health, the way to the database, what it
//! was built from.

use crate::schema;
use metrics::{
    Gauge, Histogram, Unit, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use sqlx::PgPool;
use std::time::{Duration, Instant};

/// How often gauges of what changes all the time are set. Prometheus asks every 5 to 60 seconds.
pub const SAMPLE: Duration = Duration::from_secs(1);

/// Says what the metrics of this crate mean. Repeating it changes nothing.
pub(crate) fn describe() {
    describe_gauge!("tasker_healthy", "1: the process can do its work; 0: not, /health says why");
    describe_gauge!(
        "tasker_database_circuit",
        "The circuit breaker: 0 closed, 1 half-open, 2 open"
    );
    describe_gauge!(
        "tasker_actor_stalled",
        "1 while the actor has work and has not succeeded for long: /health says why"
    );
    describe_counter!(
        "tasker_database_circuit_opened_total",
        Unit::Count,
        "Times the circuit has opened"
    );
}

/// Says once that this program runs with this version and on this schema: the gauge
/// `tasker_build_info`, always 1.
pub fn build_info() {
    describe_gauge!("tasker_build_info", "Always 1; the labels say which program and schema run");
    gauge!(
        "tasker_build_info",
        "version" => env!("CARGO_PKG_VERSION"),
        "schema" => schema::version()
    )
    .set(1.0);
}

/// The gauges of one connection pool, labelled with its application_name.
#[derive(Debug)]
pub struct PoolMeters {
    pool: PgPool,
    max: Gauge,
    open: Gauge,
    idle: Gauge,
    in_use: Gauge,
}

impl PoolMeters {
    /// Registers the gauges; they are zero until [`PoolMeters::sample`].
    pub fn new(pool: &PgPool) -> Self {
        let label = label(pool);
        let of = |name: &'static str| gauge!(name, "pool" => label.clone());
        describe_gauge!("tasker_database_pool_max", "Connections that the pool may open");
        describe_gauge!("tasker_database_pool_open", "Connections that are open, in use or idle");
        describe_gauge!("tasker_database_pool_idle", "Open connections that nobody uses");
        describe_gauge!(
            "tasker_database_pool_in_use",
            "Connections that somebody has; actors keep theirs"
        );
        Self {
            max: of("tasker_database_pool_max"),
            open: of("tasker_database_pool_open"),
            idle: of("tasker_database_pool_idle"),
            in_use: of("tasker_database_pool_in_use"),
            pool: pool.clone(),
        }
    }

    /// Sets the gauges to what the pool says now.
    pub fn sample(&self) {
        let (open, idle) =
            (self.pool.size(), u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX));
        self.max.set(self.pool.options().get_max_connections());
        self.open.set(open);
        self.idle.set(idle);
        self.in_use.set(open.saturating_sub(idle));
    }
}

/// The meters of waiting for a connection of one pool: how many callers do, and how long it took
/// them.
#[derive(Debug, Clone)]
pub struct PoolWait {
    waiting: Gauge,
    seconds: Histogram,
}

impl PoolWait {
    /// Registers them.
    pub fn new(pool: &PgPool) -> Self {
        describe_gauge!(
            "tasker_database_pool_waiting",
            "Callers that wait for a connection of the pool"
        );
        describe_histogram!(
            "tasker_database_acquire_seconds",
            Unit::Seconds,
            "Waits for a connection of the pool; an actor that keeps its own waits once"
        );
        let label = label(pool);
        Self {
            waiting: gauge!("tasker_database_pool_waiting", "pool" => label.clone()),
            seconds: histogram!("tasker_database_acquire_seconds", "pool" => label),
        }
    }

    /// One more caller waits, until what this returns is dropped.
    pub fn begin(&self) -> Waiting {
        self.waiting.increment(1.0);
        Waiting { meters: self.clone(), since: Instant::now() }
    }
}

/// A caller that waits for a connection.
#[derive(Debug)]
pub struct Waiting {
    meters: PoolWait,
    since: Instant,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.meters.waiting.decrement(1.0);
        self.meters.seconds.record(self.since.elapsed());
    }
}

/// What tells the pools of one process apart.
fn label(pool: &PgPool) -> String {
    pool.connect_options().get_application_name().unwrap_or("unnamed").to_owned()
}
