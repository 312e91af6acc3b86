//! A running server.

use crate::{
    Builder, Recorded,
    builder::READY_WITHIN,
    error::{Context, Error, Result},
    record::{self, remove_if_there},
    watcher::{Plan, Watcher, again_mark},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longer than the watcher's patience with a fast shutdown (60 s), after which it makes it an
/// immediate one.
const STOPPED_WITHIN: Duration = Duration::from_secs(90);

/// A PostgreSQL server that runs as long as this value lives.
///
/// Dropping it stops the server too, without waiting for it.
#[derive(Debug)]
pub struct Embedded {
    server: Recorded,
    plan: Plan,
    /// None after the end.
    watcher: Option<Watcher>,
    bin_dir: PathBuf,
    /// The folder of the record, and the lock that keeps other programs off it. None for a
    /// throwaway.
    claim: Option<(PathBuf, File)>,
}

impl Embedded {
    /// A lasting server: its data is there again at the next start.
    pub fn builder() -> Builder {
        Builder::new(false)
    }

    /// A throwaway server for tests: fast, not durable (`fsync`, `synchronous_commit`, and
    /// `full_page_writes` off, 200 connections), in a folder of its own in the temporary directory,
    /// or in memory (`/dev/shm`) where there is room and TMPDIR is not set. The folder is deleted
    /// when it stops, even when the program was killed.
    pub fn ephemeral() -> Builder {
        Builder::new(true)
    }

    pub(crate) fn new(
        server: Recorded,
        plan: Plan,
        watcher: Watcher,
        bin_dir: PathBuf,
        claim: Option<(PathBuf, File)>,
    ) -> Self {
        tracing::info!(
            pid = server.pid,
            port = server.port,
            version = %server.version,
            "PostgreSQL is ready"
        );
        Self { server, plan, watcher: Some(watcher), bin_dir, claim }
    }

    /// The superuser's URL of a database, password included.
    pub fn url(&self, database: &str) -> String {
        let base = self.server.url.rsplit_once('/').map_or("", |(base, _)| base);
        format!("{base}/{}", percent_encoded(database))
    }

    /// The superuser's URL of the database `postgres`.
    pub fn admin_url(&self) -> String {
        self.server.url.clone()
    }

    /// The folder with `postgres`, `initdb`, and mostly `psql`.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// PostgreSQL's data folder.
    pub fn data_dir(&self) -> &Path {
        &self.plan.home.data
    }

    /// The folder of the Unix socket; as root, other users cannot enter it.
    pub fn socket_dir(&self) -> &Path {
        &self.plan.home.run
    }

    /// The server's log; a throwaway's is deleted with it.
    pub fn log_path(&self) -> PathBuf {
        self.plan.home.log()
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The server's process id; another one after a restart.
    pub fn pid(&self) -> u32 {
        self.server.pid
    }

    /// The server's version, such as `15.18`.
    pub fn version(&self) -> &str {
        &self.server.version
    }

    /// Stops the server (open transactions are rolled back) and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Stop`] when it is not gone after 90 s.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(mut watcher) = self.watcher.take() {
            watcher.close();
            match watcher.wait(STOPPED_WITHIN).await? {
                None => {
                    watcher.abandon();
                    return Err(Error::Stop {
                        seconds: STOPPED_WITHIN.as_secs(),
                        log: self.log_path(),
                    });
                }
                // A throwaway is stopped without ceremony.
                Some(status) if !status.success() && self.claim.is_some() => {
                    let log = self.log_path();
                    tracing::warn!(%status, log = %log.display(), "PostgreSQL did not shut down \
                        cleanly");
                }
                Some(_) => {}
            }
        }
        match &self.claim {
            Some((record_dir, _)) => record::remove(record_dir),
            None => Ok(()),
        }
    }

    /// Returns when the server has ended without our doing (a crash, or a stop from outside).
    pub async fn ended(&mut self) -> Result<()> {
        if let Some(watcher) = &mut self.watcher {
            while watcher.wait(Duration::from_secs(3600)).await?.is_none() {}
        }
        Ok(())
    }

    /// Crashes the server, as an immediate shutdown (SIGQUIT: no checkpoint, every connection
    /// broken), and starts it again on the same port; returns when it accepts connections after its
    /// crash recovery.
    ///
    /// # Errors
    /// [`Error::Start`] when it does not come back.
    pub async fn restart_immediate(&mut self) -> Result<()> {
        self.restart("QUIT").await
    }

    /// As [`Embedded::restart_immediate`], by kill -9 of the server's main process.
    ///
    /// # Errors
    /// [`Error::Start`] when it does not come back.
    pub async fn restart_killed(&mut self) -> Result<()> {
        self.restart("KILL").await
    }

    async fn restart(&mut self, signal: &str) -> Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let again = again_mark(&self.plan.home);
        std::fs::write(&again, "").context("write", &again)?;
        watcher.signal(signal)?;
        let ready = watcher.ready(Some(self.server.pid), READY_WITHIN).await;
        // After this, the end of the server is the end of its watcher again.
        remove_if_there(&again)?;
        self.server.pid = ready?;
        match &self.claim {
            Some((record_dir, _)) => record::write(record_dir, &self.server),
            None => Ok(()),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.abandon();
        }
    }
}

/// For the path of a URL.
fn percent_encoded(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_are_encoded() {
        assert_eq!(percent_encoded("shop_1"), "shop_1");
        assert_eq!(percent_encoded("a/b ü"), "a%2Fb%20%C3%BC");
    }
}
