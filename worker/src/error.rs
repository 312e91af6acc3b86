//! What a handler returns when its step could not be done: whether trying again makes sense, and
//! when. Every `std::error::Error` becomes a retryable one, so that `?` works in handlers.

use crate::outage::is_outage;
use pgtasker_core::{Failure, error::words};
use std::{any::Any, fmt, time::Duration};

/// Characters of a message: as many as the database keeps.
const LONGEST: usize = 10_000;

/// The failure of a step.
///
/// It is not a `std::error::Error` itself, so that any other error can convert into it by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    message: String,
    retryable: bool,
    code: Option<String>,
    retry_after: Option<Duration>,
    /// The connection to the database or the server itself was lost.
    pub(crate) is_outage: bool,
    /// No failure at all: the step goes back to its queue. True: its handler is not here.
    pub(crate) gives_back: Option<bool>,
}

impl StepError {
    /// A failure that may pass: the step is tried again while it has attempts left. The first
    /// 10,000 characters of its message are kept.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self {
            message: cut(message.into()),
            retryable: true,
            code: None,
            retry_after: None,
            is_outage: false,
            gives_back: None,
        }
    }

    /// No failure: this worker cannot run the step now. It goes back to its queue for other workers
    /// and is no attempt. Each time in a row it waits longer, from a second up to a minute.
    pub fn give_back(reason: impl Into<String>) -> Self {
        Self { gives_back: Some(false), ..Self::retryable(reason) }
    }

    /// The same of a step whose handler this worker lacks after all, as when a resolver's plug-in
    /// has no such name: others may take it after a second, and a worker with a resolver takes
    /// none of its steps for five seconds, then ever longer, up to five minutes.
    pub fn no_handler(reason: impl Into<String>) -> Self {
        Self { gives_back: Some(true), ..Self::retryable(reason) }
    }

    /// The failure of a step that took longer than its template allows: what a handler returns
    /// that keeps its time by itself, see [`crate::Handler::keeps_time`].
    pub fn timed_out(timeout: Duration) -> Self {
        Self::retryable(format!("timed out after {timeout:?}")).code("timeout")
    }

    /// A failure that stays: the step goes to `error` at once, whatever its attempts.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { retryable: false, ..Self::retryable(message) }
    }

    /// Adds a short stable word for programs, like `card_declined`.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Asks for the next attempt after this long (to the millisecond), instead of the template's
    /// backoff. Says nothing on a permanent failure.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Whether an outage took the step from its handler.
    pub(crate) fn outage(mut self, is_outage: bool) -> Self {
        self.is_outage = is_outage;
        self
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the step may be tried again.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

fn cut(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(LONGEST) {
        message.truncate(end);
    }
    message
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for StepError {
    /// Retryable, with the messages of the error and of its sources; of one of the database its
    /// SQLSTATE is the code.
    fn from(error: E) -> Self {
        let mut this = Self::retryable("");
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = next {
            let database: Option<&sqlx::Error> = cause.downcast_ref();
            let answer = database.and_then(sqlx::Error::as_database_error);
            let text = database.map_or_else(|| cause.to_string(), words);
            // Many libraries already repeat their source in their own message.
            if !this.message.contains(&text) {
                this.message.push_str(if this.message.is_empty() { "" } else { ": " });
                this.message.push_str(&text);
            }
            this.is_outage |= database.is_some_and(is_outage);
            this.code = answer.and_then(|answer| answer.code()).map(Into::into);
            next = if database.is_some() { None } else { cause.source() };
        }
        this.message = cut(this.message);
        this
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            // jsonb cannot hold a NUL; a message must not be the reason that a failure is lost.
            message: error.message.replace('\0', "\u{fffd}"),
            retryable: error.retryable,
            code: error.code.map(|code| code.replace('\0', "\u{fffd}")),
            retry_after_ms: error.retry_after.filter(|_| error.retryable).map(millis),
        }
    }
}

/// What was given to `panic!`.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot charge the card")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn any_error_becomes_a_retryable_one_that_names_its_sources() {
        fn handler() -> Result<(), StepError> {
            Err(Outer("x".parse::<i32>().map(drop).unwrap_err()))?
        }
        let error = handler().unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(error.message(), "cannot charge the card: invalid digit found in string");
    }

    #[test]
    fn a_failure_carries_code_and_delay() {
        let error = StepError::retryable("busy").code("busy").retry_after(Duration::from_secs(2));
        let failure = Failure::from(error);
        assert_eq!(failure.code.as_deref(), Some("busy"));
        assert_eq!(failure.retry_after_ms, Some(2_000));
        assert!(failure.retryable);
    }

    #[test]
    fn a_permanent_failure_has_no_delay_and_no_nul() {
        let failure =
            Failure::from(StepError::permanent("a\0b").retry_after(Duration::from_secs(2)));
        assert_eq!(failure.message, "a\u{fffd}b");
        assert_eq!((failure.retryable, failure.retry_after_ms), (false, None));
    }
}
