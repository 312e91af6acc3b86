//! Waiting for what happens in other tasks and processes: look again and again, with a deadline.
//! A sleep of a fixed length would be too short on a busy machine and too long on all others.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long between two looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// What a look at the world returns.
pub trait Condition {
    /// What a condition that holds gives.
    type Value;
    /// The value, or what was seen instead.
    fn check(self) -> Result<Self::Value, String>;
}

impl Condition for bool {
    type Value = ();
    fn check(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Condition for Option<T> {
    type Value = T;
    fn check(self) -> Result<T, String> {
        self.ok_or_else(|| "None".to_owned())
    }
}

impl<T, E: Debug> Condition for Result<T, E> {
    type Value = T;
    fn check(self) -> Result<T, String> {
        self.map_err(|seen| format!("{seen:?}"))
    }
}

/// Looks until the condition holds and returns its value.
///
/// The closure returns a bool, an `Option`, or a `Result` whose error is what it saw instead.
///
/// # Panics
/// When it does not hold within `at_most`: with `what`, and with what was seen last. A look that
/// itself takes too long counts as well.
pub async fn eventually<C: Condition>(
    what: &str,
    at_most: Duration,
    mut look: impl AsyncFnMut() -> C,
) -> C::Value {
    let deadline = Instant::now() + at_most;
    let mut last = "nothing yet".to_owned();
    while let Ok(seen) = tokio::time::timeout_at(deadline.into(), look()).await {
        match seen.check() {
            Ok(value) => return value,
            Err(seen) => last = seen,
        }
        // The timeout above does not end a look that answers at once.
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    panic!("not within {at_most:?}: {what}; seen last: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn it_returns_what_it_waited_for() {
        let mut looks = 0;
        let value = eventually("three looks", Duration::from_secs(5), async || {
            looks += 1;
            if looks == 3 { Ok("there") } else { Err(looks) }
        })
        .await;
        assert_eq!((value, looks), ("there", 3));
        eventually("a bool", SHORT, async || true).await;
        assert_eq!(eventually("an option", SHORT, || async { Some(1) }).await, 1);
    }

    #[tokio::test]
    #[should_panic(expected = "not within 40ms: the queue to be empty; seen last: 7")]
    async fn it_fails_with_what_it_saw_last() {
        eventually("the queue to be empty", SHORT, async || Err::<(), _>(7)).await;
    }

    #[tokio::test]
    #[should_panic(expected = "not within 40ms: an answer; seen last: nothing yet")]
    async fn a_look_that_hangs_is_cut_off() {
        eventually("an answer", SHORT, async || std::future::pending::<bool>().await).await;
    }
}
