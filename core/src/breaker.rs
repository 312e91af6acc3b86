//! The circuit breaker around the database: one for everything in a process that calls it. While
//! the circuit is open nobody calls and all wait; one probe at a time finds out when to go on.

use crate::{
    db::Delays,
    error::{is_outage, is_transient},
    health::{Health, Problem},
    hosts::{self, takes_writes},
    limited::Lent,
};
use futures_util::{FutureExt, future::BoxFuture};
use metrics::Counter;
use sqlx::PgPool;
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

/// So many failures in a row open the circuit, even if probes succeed.
const THRESHOLD: u32 = 3;
/// So long without any answer, and a probe finds out why: a call may hang on a connection that went
/// silent.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(3);
/// So long connections are shared after somebody had to wait for one.
const SHARING: Duration = Duration::from_secs(60);
/// Waits between probes, jittered: from the first to the longest.
const DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The state of the circuit, and the value of the gauge `tasker_database_circuit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// All call.
    Closed = 0,
    /// One probe calls, all others wait.
    HalfOpen = 1,
    /// All wait.
    Open = 2,
}

/// Clones share one circuit.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Inner>);

type Probe = Box<dyn Fn() -> BoxFuture<'static, Result<(), sqlx::Error>> + Send + Sync>;

struct Inner {
    /// How often the circuit has opened, times four, plus its state: what each call reads.
    word: AtomicU32,
    changes: watch::Sender<Circuit>,
    /// Failures since the last answer.
    failures: AtomicU32,
    /// Whether there was an answer since the monitor looked last.
    answered: AtomicBool,
    /// Asks the monitor to look at once.
    suspected: Arc<Notify>,
    probe: Probe,
    health: Health,
    times_opened: Counter,
    began: Instant,
    /// Until when connections are shared, in milliseconds since it began.
    scarce_until: AtomicU64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("circuit", &*self.changes.borrow()).finish_non_exhaustive()
    }
}

impl Breaker {
    /// A closed circuit to the database of `pool`, which tells `health`. To be called within a
    /// runtime.
    pub fn new(pool: &PgPool, health: Health) -> Self {
        let pool = pool.clone();
        Self::with_probe(Box::new(move || probe(pool.clone()).boxed()), health)
    }

    fn with_probe(probe: Probe, health: Health) -> Self {
        let inner = Inner {
            word: AtomicU32::new(0),
            changes: watch::Sender::new(Circuit::Closed),
            failures: AtomicU32::new(0),
            answered: AtomicBool::new(true),
            suspected: Arc::default(),
            probe,
            health,
            times_opened: metrics::counter!("tasker_database_circuit_opened_total"),
            began: Instant::now(),
            scarce_until: AtomicU64::new(0),
        };
        gauge(Circuit::Closed);
        let breaker = Self(Arc::new(inner));
        tokio::spawn(monitor(Arc::downgrade(&breaker.0), Arc::clone(&breaker.0.suspected)));
        breaker
    }

    /// The health that this breaker tells.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// The state now.
    pub fn circuit(&self) -> Circuit {
        *self.0.changes.borrow()
    }

    /// Whether calls may be made now, and how often the circuit has opened: connections from before
    /// the last time are dead, most likely.
    pub fn look(&self) -> (bool, u32) {
        let word = self.0.word.load(Ordering::Acquire);
        (word.is_multiple_of(4), word / 4)
    }

    /// Returns when calls may be made.
    pub async fn closed(&self) {
        self.wait_for(|circuit| circuit == Circuit::Closed).await;
    }

    /// Returns when calls may not be made.
    pub async fn opened(&self) {
        self.wait_for(|circuit| circuit != Circuit::Closed).await;
    }

    /// Somebody waits for a connection: for a while nobody keeps one.
    pub fn connections_are_scarce(&self) {
        let until = self.0.now() + u64::try_from(SHARING.as_millis()).unwrap_or(u64::MAX);
        if self.0.scarce_until.swap(until, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "there are fewer connections to the database than this process may open: they are \
                 shared, which costs \
                 speed. Raise the role's connection limit or max_connections, or give the process \
                 fewer"
            );
        }
    }

    /// Whether nobody is to keep a connection.
    pub fn are_connections_scarce(&self) -> bool {
        match self.0.scarce_until.load(Ordering::Relaxed) {
            0 => false,
            until => self.0.now() < until,
        }
    }

    async fn wait_for(&self, is: impl Fn(Circuit) -> bool) {
        // An error only when the sender is gone, which lives in self.
        self.0.changes.subscribe().wait_for(|circuit| is(*circuit)).await.ok();
    }

    /// A call was not answered in time: a probe finds out whether the database is away, or slow, or
    /// only the connection dead.
    pub fn suspect(&self) {
        self.0.suspected.notify_one();
    }

    /// To be told of what came of each call. An error that is the call's own fault is an answer as
    /// well.
    pub fn record<T>(&self, result: &Result<T, sqlx::Error>) {
        match result {
            Err(error) if is_outage(error) => self.0.failed(error),
            Err(error) if is_transient(error) => {}
            _ => self.0.answered(),
        }
    }
}

impl Inner {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// On every call's way: writes only what is not so yet.
    fn answered(&self) {
        if !self.answered.load(Ordering::Relaxed) {
            self.answered.store(true, Ordering::Relaxed);
        }
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    fn failed(&self, error: &sqlx::Error) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= THRESHOLD {
            self.open(error);
        }
        self.suspected.notify_one();
    }

    /// From closed to open; says so once.
    fn open(&self, error: &sqlx::Error) {
        let opened = self.changes.send_if_modified(|circuit| {
            let closed = *circuit == Circuit::Closed;
            if closed {
                self.health.set(Problem::Database, format!("the database is away: {error}"));
                self.set(circuit, Circuit::Open);
            }
            closed
        });
        if opened {
            self.times_opened.increment(1);
            tracing::warn!(%error, "the database is away: the circuit is open, all calls wait \
                until it answers again");
        }
    }

    fn change(&self, to: Circuit) {
        self.changes.send_modify(|circuit| self.set(circuit, to));
    }

    /// Under the lock of `changes`.
    fn set(&self, circuit: &mut Circuit, to: Circuit) {
        *circuit = to;
        let times = self.word.load(Ordering::Relaxed) / 4 + u32::from(to == Circuit::Open);
        // Wraps after a billion times, which changes nothing: only whether it differs counts.
        self.word.store(times.wrapping_mul(4) + to as u32, Ordering::Release);
        gauge(to);
    }

    /// Probes until one succeeds, and closes the circuit; or until nobody waits for that any more.
    async fn recover(self: &Arc<Self>) {
        let (started, mut delays) = (Instant::now(), Delays::new(DELAYS.0, DELAYS.1));
        loop {
            sleep(delays.next()).await;
            if Arc::strong_count(self) == 1 {
                return;
            }
            self.change(Circuit::HalfOpen);
            let Err(error) = (self.probe)().await else { break };
            tracing::debug!(%error, "the database is still away");
            self.health.set(Problem::Database, format!("the database is away: {error}"));
            self.change(Circuit::Open);
        }
        self.answered();
        self.health.clear(Problem::Database);
        tracing::info!(after = ?started.elapsed(), "the database is back: the circuit is closed");
        self.change(Circuit::Closed);
    }
}

/// Runs for as long as anyone else has the breaker.
async fn monitor(breaker: Weak<Inner>, suspected: Arc<Notify>) {
    loop {
        let suspicion = timeout(SILENCE, suspected.notified()).await.is_ok();
        let Some(breaker) = breaker.upgrade() else { return };
        if !breaker.answered.swap(false, Ordering::Relaxed) || suspicion {
            if *breaker.changes.borrow() == Circuit::Closed {
                match (breaker.probe)().await {
                    Err(error) if is_outage(&error) => breaker.open(&error),
                    // The database is there; what it says to the calls themselves is for them.
                    _ => {}
                }
            }
            if *breaker.changes.borrow() != Circuit::Closed {
                breaker.recover().await;
            }
        }
    }
}

fn gauge(circuit: Circuit) {
    metrics::gauge!("tasker_database_circuit").set(f64::from(circuit as u32));
}

/// Whether the database takes writes. Not by way of the pool where that has no idle connection: its
/// acquire would hide the reason behind a timeout.
async fn probe(pool: PgPool) -> Result<(), sqlx::Error> {
    // Each of several hosts may have to be asked.
    let limit = match hosts::count(&pool.connect_options()) {
        0 | 1 => PROBE,
        several => PROBE + hosts::EACH * u32::try_from(several).unwrap_or(1),
    };
    let answer = timeout(limit, async {
        if let Some(mut idle) = Lent::idle(&pool) {
            // A dead one must not use up the time for a new one, nor go back to the pool.
            if let Ok(Ok(())) = timeout(PROBE / 3, takes_writes(&mut idle)).await {
                idle.give_back();
                return Ok(());
            }
        }
        let primary = hosts::find(&pool.connect_options()).await?;
        hosts::follow_once(&pool, &primary);
        Ok(())
    });
    answer.await.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn gone() -> Result<(), sqlx::Error> {
        Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()))
    }

    /// A database that is away until told otherwise, and counts who probes it.
    #[derive(Clone, Default)]
    struct Database {
        back: Arc<AtomicBool>,
        probes: Arc<AtomicUsize>,
        at_once: Arc<AtomicUsize>,
        most_at_once: Arc<AtomicUsize>,
    }

    impl Database {
        fn breaker(&self) -> Breaker {
            let database = self.clone();
            let probe = move || {
                let database = database.clone();
                async move {
                    let now = database.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    database.most_at_once.fetch_max(now, Ordering::SeqCst);
                    database.probes.fetch_add(1, Ordering::SeqCst);
                    sleep(Duration::from_millis(5)).await;
                    database.at_once.fetch_sub(1, Ordering::SeqCst);
                    if database.back.load(Ordering::SeqCst) { Ok(()) } else { gone() }
                }
                .boxed()
            };
            let health = Health::new();
            health.clear(Problem::NotRunning);
            Breaker::with_probe(Box::new(probe), health)
        }
    }

    #[tokio::test]
    async fn it_opens_lets_one_probe_through_at_a_time_and_wakes_all_when_it_closes() {
        let database = Database::default();
        let breaker = database.breaker();
        assert_eq!((breaker.circuit(), breaker.look()), (Circuit::Closed, (true, 0)));
        for _ in 0..THRESHOLD {
            breaker.record(&gone());
        }
        assert_eq!((breaker.circuit(), breaker.look()), (Circuit::Open, (false, 1)));
        assert!(!breaker.health().is_healthy());
        let waiting = (0..20).map(|_| {
            tokio::spawn({
                let breaker = breaker.clone();
                async move { breaker.closed().await }
            })
        });
        let waiting: Vec<_> = waiting.collect();
        while database.probes.load(Ordering::SeqCst) < 3 {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(waiting.iter().all(|waiter| !waiter.is_finished()));
        database.back.store(true, Ordering::SeqCst);
        for waiter in waiting {
            waiter.await.unwrap();
        }
        assert_eq!(database.most_at_once.load(Ordering::SeqCst), 1);
        assert!(breaker.look().0 && breaker.look().1 > 0 && breaker.health().is_healthy());
    }

    #[tokio::test]
    async fn one_failure_opens_it_if_a_probe_fails_too() {
        let breaker = Database::default().breaker();
        breaker.record(&gone());
        assert_eq!(breaker.circuit(), Circuit::Closed);
        breaker.opened().await;
    }

    #[tokio::test]
    async fn answers_and_what_is_the_calls_own_fault_do_not_open_it() {
        let database = Database::default();
        database.back.store(true, Ordering::SeqCst);
        let breaker = database.breaker();
        for _ in 0..10 {
            breaker.record(&gone());
            breaker.record(&Ok(()));
            breaker.record(&gone());
            breaker.record::<()>(&Err(sqlx::Error::RowNotFound));
            // The pool has no connection left: that may be this process's own doing.
            breaker.record::<()>(&Err(sqlx::Error::PoolTimedOut));
            breaker.record::<()>(&Err(sqlx::Error::RowNotFound));
        }
        while database.probes.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(breaker.look(), (true, 0));
    }

    #[tokio::test]
    async fn silence_is_looked_into() {
        let database = Database::default();
        let breaker = database.breaker();
        // No call fails: all hang.
        timeout(SILENCE * 3, breaker.opened()).await.unwrap();
        assert!(breaker.health().status().reason.unwrap().contains("away"));
    }
}
