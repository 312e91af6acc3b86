//! What people may set: the default, and from where to where. Options of the CLI, variables,
//! builders, and the engine's calls take it from here.

use crate::duration;
use std::{ops::RangeInclusive, time::Duration};

/// How long a claim is held before another worker may take the step.
pub const LEASE: Bounds<Duration> = Bounds {
    what: "the lease",
    default: Duration::from_secs(30),
    least: Duration::from_secs(1),
    most: DAY,
};
/// Steps that a worker runs at once. Channels and permits are allocated by it.
pub const CONCURRENCY: Bounds<u32> =
    Bounds { what: "the concurrency", default: 64, least: 1, most: 10_000 };
/// Database connections of a process.
pub const CONNECTIONS: Bounds<u32> =
    Bounds { what: "the number of connections", default: 10, least: 2, most: 1_000 };
/// How long what runs may take to finish after the shutdown.
pub const GRACE: Bounds<Duration> = Bounds {
    what: "the grace period",
    default: Duration::from_secs(10),
    least: Duration::ZERO,
    most: DAY,
};
/// How long a step may run whose template does not say.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(300);
/// How often to look for work without a notification. Less would keep the database busy with
/// questions.
pub const POLL_INTERVAL: Bounds<Duration> = Bounds {
    what: "the poll interval",
    default: Duration::from_secs(1),
    least: Duration::from_millis(10),
    most: DAY,
};
/// How often an orchestrator looks for what no message announces.
pub const SWEEP_INTERVAL: Bounds<Duration> = Bounds {
    what: "the sweep interval",
    default: Duration::from_secs(10),
    least: Duration::from_millis(10),
    most: DAY,
};
/// How long an actor with work may go without success before it counts as stalled.
pub const STALLED_AFTER: Bounds<Duration> = Bounds {
    what: "the time until an actor counts as stalled",
    default: Duration::from_secs(30),
    least: Duration::from_secs(1),
    most: DAY,
};
/// Messages or steps of an orchestrator in one transaction.
pub const BATCH_SIZE: Bounds<u32> =
    Bounds { what: "the batch size", default: 500, least: 1, most: 10_000 };
/// The body of a request to the HTTP API, in bytes.
pub const BODY_BYTES: Bounds<u32> =
    Bounds { what: "the largest body in bytes", default: 2 << 20, least: 1024, most: 1 << 30 };
/// How long a request to the HTTP API may take. Less leaves the database no time.
pub const REQUEST_TIMEOUT: Bounds<Duration> = Bounds {
    what: "the timeout of requests",
    default: Duration::from_secs(10),
    least: Duration::from_millis(500),
    most: DAY,
};
/// Items of a list, where nobody says how many.
pub const PAGE: Bounds<u32> = Bounds { what: "the page", default: 100, least: 1, most: 1_000 };
/// Rows that one call of many changes, where nobody says how many.
pub const MANY: Bounds<u32> = Bounds { what: "the batch", default: 100, least: 1, most: 100_000 };
/// Tasks that one call of prune removes.
pub const PRUNED: Bounds<u32> =
    Bounds { what: "the most tasks", default: 1_000, least: 1, most: 100_000 };
/// Tasks that analytics are made from.
pub const SAMPLED: Bounds<u32> =
    Bounds { what: "the most tasks", default: 10_000, least: 1, most: 100_000 };
/// How far analytics look back.
pub const SINCE: Duration = Duration::from_secs(3_600);
/// Results of parents or of a batch in one call.
pub const RESULTS: Bounds<u32> =
    Bounds { what: "the page of results", default: 1_000, least: 1, most: 100_000 };
/// How long an event that was read is kept from other consumers.
pub const VISIBLE: Bounds<Duration> = Bounds {
    what: "the visibility of events",
    default: Duration::from_secs(60),
    least: Duration::from_secs(1),
    most: DAY,
};

const DAY: Duration = Duration::from_secs(86_400);

/// The default of a value, and the range that it must be in.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<T> {
    what: &'static str,
    /// Where nobody says another.
    pub default: T,
    /// From this on.
    pub least: T,
    /// Up to this.
    pub most: T,
}

/// A value that cannot be set; says which ones can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}: give a value from {least} to {most}")]
pub struct OutOfBounds {
    what: &'static str,
    value: String,
    least: String,
    most: String,
}

/// A number or a duration.
pub trait Amount: Copy + PartialOrd {
    /// As people write it.
    fn text(self) -> String;
}

impl Amount for u32 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl Amount for Duration {
    fn text(self) -> String {
        duration::text(self)
    }
}

impl<T: Amount> Bounds<T> {
    /// The value, if it is in the range.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, value: T) -> Result<T, OutOfBounds> {
        match self.least <= value && value <= self.most {
            true => Ok(value),
            false => Err(OutOfBounds {
                what: self.what,
                value: value.text(),
                least: self.least.text(),
                most: self.most.text(),
            }),
        }
    }

    /// The default, as people write it.
    pub fn default_text(&self) -> String {
        self.default.text()
    }
}

impl Bounds<u32> {
    /// The range, as clap takes it.
    pub const fn range(&self) -> RangeInclusive<i64> {
        self.least as i64..=self.most as i64
    }

    /// Whether a number of things is in the range.
    ///
    /// # Errors
    /// It is not.
    pub fn check_count(&self, value: usize) -> Result<u32, OutOfBounds> {
        self.check(u32::try_from(value).unwrap_or(u32::MAX))
    }
}

impl Bounds<Duration> {
    /// A duration as people write it, if it is in the range.
    ///
    /// # Errors
    /// No duration, or one outside of the range.
    pub fn parse(&self, text: &str) -> Result<Duration, String> {
        self.check(duration::parse(text)?).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_has_its_ends() {
        for lease in ["1s", "30", "1d"] {
            assert!(LEASE.parse(lease).is_ok(), "{lease}");
        }
        assert_eq!(
            LEASE.parse("999ms"),
            Err("the lease is 999ms: give a value from 1s to 1d".to_owned())
        );
        assert!(CONCURRENCY.check_count(0).is_err() && CONCURRENCY.check_count(10_001).is_err());
        assert!(CONCURRENCY.check_count(usize::MAX).is_err());
        assert_eq!(CONCURRENCY.check_count(10_000), Ok(10_000));
    }

    #[test]
    fn every_default_is_in_its_range() {
        for times in
            [LEASE, GRACE, POLL_INTERVAL, SWEEP_INTERVAL, STALLED_AFTER, REQUEST_TIMEOUT, VISIBLE]
        {
            assert_eq!(times.parse(&times.default_text()), Ok(times.default));
        }
        for numbers in
            [CONCURRENCY, CONNECTIONS, BATCH_SIZE, BODY_BYTES, PAGE, MANY, PRUNED, SAMPLED, RESULTS]
        {
            assert_eq!(numbers.check(numbers.default), Ok(numbers.default));
        }
    }
}
