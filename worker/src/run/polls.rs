//! How long a handler keeps its thread: from one `await` to the next nothing else runs there.

use std::{
    pin::Pin,
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// From which times count; 0 stands for none.
static START: LazyLock<Instant> = LazyLock::new(|| Instant::now() - Duration::from_secs(1));

/// The polls of one step's handler.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    handler: OnceLock<String>,
    /// When the poll that goes on began, in milliseconds.
    since: AtomicU64,
    /// Whether it has been told.
    told: AtomicBool,
}

impl Polls {
    /// Watches the future of this handler.
    pub(crate) fn watch<F: Future>(
        &self,
        handler: &str,
        future: F,
    ) -> impl Future<Output = F::Output> {
        self.handler.get_or_init(|| handler.to_owned());
        let mut future = Box::pin(future);
        std::future::poll_fn(move |context| self.poll(future.as_mut(), context))
    }

    fn poll<F: Future>(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Also when the poll panics.
        struct End<'a>(&'a Polls);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.since.store(0, Ordering::Relaxed);
            }
        }
        self.told.store(false, Ordering::Relaxed);
        self.since.store(now(), Ordering::Relaxed);
        let _end = End(self);
        future.poll(context)
    }

    /// The handler and the time, where its poll goes on for at least `age` and nobody has been told
    /// of it.
    pub(crate) fn blocks(&self, age: Duration) -> Option<(String, Duration)> {
        let since = self.since.load(Ordering::Relaxed);
        let time = Duration::from_millis(now().saturating_sub(since));
        if since == 0 || time < age || self.told.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some((self.handler.get()?.clone(), time))
    }
}

fn now() -> u64 {
    START.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_poll_that_goes_on_is_told_once_and_one_that_waits_is_none() {
        let polls = Arc::new(Polls::default());
        let seen = Arc::clone(&polls);
        let handler = async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            // Not a wait for something: a poll that keeps its thread is what is looked at.
            std::thread::sleep(Duration::from_millis(5));
            (seen.blocks(Duration::from_millis(2)), seen.blocks(Duration::ZERO))
        };
        let (first, second) = polls.watch("charge", handler).await;
        assert_eq!(first.map(|(handler, _)| handler).as_deref(), Some("charge"));
        assert_eq!((second, polls.blocks(Duration::ZERO)), (None, None));
    }
}
