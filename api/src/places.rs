//! Who may change something now. A change may have to wait for another transaction, and holds a
//! connection meanwhile: those who ask for the same thing wait for each other without one, and all
//! that wait leave connections for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The places of a server.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    /// One for each thing that a request changes or waits to change.
    things: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Place<'p> {
    _place: OwnedSemaphorePermit,
    _turn: Turn<'p>,
}

#[derive(Debug)]
struct Turn<'p> {
    places: &'p Places,
    thing: Option<String>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub fn new(places: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(places)), things: Mutex::default() }
    }

    /// A place to change `thing`, which one request does at a time; `thing` is `None` if no other
    /// request can change it. Returns `None` if others hold it, or all places, for `limit`.
    pub async fn take(&self, thing: Option<String>, limit: Duration) -> Option<Place<'_>> {
        let both = async {
            let _turn = self.turn(thing).await?;
            let _place = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Place { _place, _turn })
        };
        timeout(limit, both).await.ok().flatten()
    }

    async fn turn(&self, thing: Option<String>) -> Option<Turn<'_>> {
        let mut turn = Turn { places: self, thing, _permit: None };
        let Some(thing) = &turn.thing else { return Some(turn) };
        let one = Arc::clone(
            self.lock().entry(thing.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))),
        );
        turn._permit = Some(one.acquire_owned().await.ok()?);
        Some(turn)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(thing) = &self.thing else { return };
        // A permit keeps its semaphore: given back first, so that nobody's is counted but those of
        // who waits.
        self._permit = None;
        let mut things = self.places.lock();
        if things.get(thing).is_some_and(|one| Arc::strong_count(one) == 1) {
            things.remove(thing);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn one_thing_takes_one_place_however_many_wait_for_it() {
        let places = Places::new(2);
        let key = || Some("key".to_owned());
        let held = places.take(key(), SHORT).await.unwrap();
        assert!(places.take(key(), SHORT).await.is_none());
        let (waits, other) =
            tokio::join!(places.take(key(), SHORT), places.take(Some("other".into()), SHORT));
        assert!(waits.is_none() && other.is_some());
        assert!(places.take(None, SHORT).await.is_none(), "there is no third place");
        drop((held, other));
        assert!(places.take(key(), SHORT).await.is_some());
        assert!(places.lock().is_empty(), "nothing is kept of what nobody changes");
    }
}
