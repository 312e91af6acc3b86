//! SIGTERM, SIGHUP, and ctrl-c: the first one asks for an orderly end, a second one for an end at
//! once: what is under way is given back, within two seconds.

use std::{io::Write, sync::LazyLock, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports of a program ended by ctrl-c.
const INTERRUPTED: i32 = 130;

/// `timeout` and some supervisors send the first signal twice, to the process and to its group.
const SAME: Duration = Duration::from_secs(1);

/// How long what hurries may take.
const LAST: Duration = Duration::from_secs(2);

static HURRY: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// Returns when a second signal has come: whatever waits for work to end gives it back now.
pub async fn hurry() {
    HURRY.cancelled().await;
}

/// A token that is cancelled by SIGTERM, SIGHUP (the terminal is gone), or ctrl-c. Called within a
/// runtime.
///
/// # Errors
/// The signals cannot be listened to.
pub fn shutdown() -> std::io::Result<CancellationToken> {
    let first = Signals::listen()?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        first.next().await;
        cancelled.cancel();
        tokio::time::sleep(SAME).await;
        // New ones, which have not seen what came in between.
        match Signals::listen() {
            Ok(second) => second.next().await,
            Err(error) => return tracing::warn!(%error, "a second signal will not be noticed"),
        }
        HURRY.cancel();
        tokio::time::sleep(LAST).await;
        writeln!(std::io::stderr(), "stopped at once by a second signal").ok();
        std::process::exit(INTERRUPTED);
    });
    Ok(token)
}

struct Signals {
    interrupts: Signal,
    terminations: Signal,
    hangups: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupts: signal(SignalKind::interrupt())?,
            terminations: signal(SignalKind::terminate())?,
            hangups: signal(SignalKind::hangup())?,
        })
    }

    async fn next(mut self) {
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.terminations.recv() => {}
            _ = self.hangups.recv() => {}
        }
    }
}
