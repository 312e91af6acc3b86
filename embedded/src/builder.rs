//! From "which folder, which settings" to a running server.
//! The slow parts (programs, files) run on a blocking thread.

use crate::{
    Embedded, Recorded,
    account::Account,
    binaries::{self, Binaries},
    cluster,
    error::{Context, Error, Result},
    folders::{self, Home},
    postmaster, record,
    watcher::{Plan, Watcher},
};
use std::{
    fs::{File, TryLockError},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// The longest a server may take to accept connections, crash recovery included.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long to wait for the server of a program that has just been killed.
const GONE_WITHIN: Duration = Duration::from_secs(3);
/// And for one that says it is shutting down.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// Below the ports that systems hand out to outgoing connections (32768 and up): while a server
/// restarts, no client's own connection can sit on its port.
const PORTS: std::ops::Range<u16> = 15_433..32_768;
/// How many ports are tried.
const PORT_TRIES: u32 = 20;

/// How a server is started; see [`Embedded::builder`] and [`Embedded::ephemeral`].
#[derive(Debug, Clone)]
pub struct Builder {
    dir: PathBuf,
    throwaway: bool,
    settings: Vec<(String, String)>,
    bin: Option<PathBuf>,
    download: bool,
}

impl Builder {
    pub(crate) fn new(throwaway: bool) -> Self {
        let settings: &[(&str, &str)] = match throwaway {
            true => &[
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
                ("max_connections", "200"),
            ],
            false => &[],
        };
        Self { dir: ".tasker".into(), throwaway, settings: Vec::new(), bin: None, download: true }
            .settings(settings.iter().copied())
    }

    /// The folder of the server; `.tasker` in the current one if not given. It is created if it
    /// does not exist. A throwaway server has its own.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Settings of PostgreSQL, as in `postgresql.conf`; the last one of a name counts. Without any,
    /// PostgreSQL's defaults apply: durable commits.
    pub fn settings<N, V>(mut self, settings: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        self.settings.extend(settings.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The folder with PostgreSQL's programs; it takes precedence over the environment variable
    /// TASKER_PG_BIN.
    pub fn bin(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin = Some(folder.into());
        self
    }

    /// Whether to try a download if no PostgreSQL is found. Default: true. No archive is accepted
    /// yet: see [the crate](crate#which-postgresql).
    pub fn download(mut self, download: bool) -> Self {
        self.download = download;
        self
    }

    /// Finds PostgreSQL, creates the cluster if needed, and starts the server; returns when it
    /// accepts connections.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] holds the URL of the server that another program runs on the
    /// folder. All others say what to do.
    pub async fn start(self) -> Result<Embedded> {
        let account = blocking(Account::current).await?;
        match self.throwaway {
            true => self.start_throwaway(account).await,
            false => self.start_lasting(account).await,
        }
    }

    async fn start_throwaway(self, account: Account) -> Result<Embedded> {
        let binaries = self.binaries(None, &account).await?;
        let parts = (binaries.clone(), account.clone());
        let template = blocking(move || cluster::template(&parts.0, &parts.1)).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let home = cluster::throwaway_home(&account)?;
            let port = free_port(None)?;
            let plan = self.plan(&binaries, home, port, Some(template.data.clone()));
            match launch(&plan, &account).await {
                Ok((watcher, pid)) => {
                    let server = described(&plan, &binaries, &template.password, port, pid);
                    return Ok(Embedded::new(server, plan, watcher, binaries.dir, None));
                }
                Err(e) if tries < PORT_TRIES && is_port_taken(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    async fn start_lasting(self, account: Account) -> Result<Embedded> {
        let (dir, parts) = (self.dir.clone(), account.clone());
        let home = blocking(move || folders::home(&dir, &parts)).await?;
        let record_dir = self.dir.canonicalize().context("find", &self.dir)?;
        let lock = claim(&home, &record_dir).await?;
        let binaries = self.binaries(cluster::made_by(&home.data)?, &account).await?;
        let parts = (home.clone(), binaries.clone(), account.clone());
        let password = blocking(move || {
            rotate_log(&parts.0)?;
            postmaster::retire(&parts.0.data)?;
            cluster::ensure(&parts.0, &parts.1, &parts.2)
        })
        .await?;
        let mut preferred = Some(usual_port(&home));
        let deadline = Instant::now() + STOPPED_WITHIN;
        let mut tries = 0;
        loop {
            tries += 1;
            let port = free_port(preferred.take())?;
            let plan = self.plan(&binaries, home.clone(), port, None);
            match launch(&plan, &account).await {
                Ok((watcher, pid)) => {
                    let server = described(&plan, &binaries, &password, port, pid);
                    record::write(&record_dir, &server)?;
                    return Ok(Embedded::new(
                        server,
                        plan,
                        watcher,
                        binaries.dir,
                        Some((record_dir, lock)),
                    ));
                }
                Err(e) if tries < PORT_TRIES && is_port_taken(&e) => {}
                // Backends of a killed server end by themselves, each at its next look around.
                Err(e) if Instant::now() < deadline && is_memory_in_use(&e) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    postmaster::retire(&home.data)?;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// The binaries for this start: named, found, or downloaded.
    async fn binaries(&self, major: Option<u32>, account: &Account) -> Result<Binaries> {
        let (bin, user) = (self.bin.clone(), account.clone());
        let found = blocking(move || match binaries::named(bin.as_deref(), &user)? {
            Some(named) => Ok(Ok(named)),
            None => Ok(binaries::first_usable(binaries::usual_folders(&user), major, &user)),
        })
        .await?;
        match found {
            Ok(binaries) => Ok(binaries),
            Err(why) if !self.download => Err(Error::NoPostgres { why }),
            #[cfg(feature = "download")]
            Err(why) => crate::download::download(account)
                .await
                .map_err(|download| Error::NoPostgres { why: format!("{why}, and {download}") }),
            #[cfg(not(feature = "download"))]
            Err(why) => {
                let why = format!("{why}, and this program was built without the feature download");
                Err(Error::NoPostgres { why })
            }
        }
    }

    fn plan(&self, binaries: &Binaries, home: Home, port: u16, throwaway: Option<PathBuf>) -> Plan {
        // A list: in quotes, a comma in the path is no separator.
        let sockets = format!("\"{}\"", home.run.display().to_string().replace('"', "\"\""));
        let mut settings = vec![
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), port.to_string()),
            ("unix_socket_directories".to_owned(), sockets),
        ];
        settings.extend(self.settings.iter().cloned());
        Plan { postgres: binaries.dir.join("postgres"), home, settings, throwaway }
    }
}

/// Starts the server and waits until it is ready.
async fn launch(plan: &Plan, account: &Account) -> Result<(Watcher, u32)> {
    let mut watcher = Watcher::spawn(plan, account)?;
    match watcher.ready(None, READY_WITHIN).await {
        Ok(pid) => Ok((watcher, pid)),
        Err(e) => {
            watcher.abandon();
            Err(e)
        }
    }
}

fn described(plan: &Plan, binaries: &Binaries, password: &str, port: u16, pid: u32) -> Recorded {
    Recorded {
        url: format!("postgres://{}:{password}@127.0.0.1:{port}/postgres", cluster::SUPERUSER),
        pid,
        port,
        data: plan.home.data.clone(),
        version: binaries.version.clone(),
    }
}

/// Takes the folder for this process, and waits for the server of one that was killed.
async fn claim(home: &Home, record_dir: &Path) -> Result<File> {
    let path = home.root.join("lock");
    let lock =
        File::options().create(true).append(true).mode(0o600).open(&path).context("open", &path)?;
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(e)) => return Err(e).context("lock", path),
            Err(TryLockError::WouldBlock) => {
                if let Some(server) = record::recorded(record_dir) {
                    return Err(Error::AlreadyRunning(Box::new(server)));
                }
                if started.elapsed() > STOPPED_WITHIN {
                    return Err(Error::Busy { home: home.root.clone() });
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    loop {
        let Some(state) = postmaster::alive(&home.data) else { return Ok(lock) };
        let patience = if state.stopping { STOPPED_WITHIN } else { GONE_WITHIN };
        if started.elapsed() > patience {
            return Err(match record::recorded(record_dir) {
                Some(server) => Error::AlreadyRunning(Box::new(server)),
                None => Error::InUse { data: home.data.clone(), pid: state.pid },
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Keeps the log of the last run, and no more.
fn rotate_log(home: &Home) -> Result<()> {
    let log = home.log();
    match std::fs::rename(&log, log.with_extension("log.old")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("rename", log),
        _ => Ok(()),
    }
}

/// The same folder gets the same port where it is free, so that connection strings stay valid.
fn usual_port(home: &Home) -> u16 {
    PORTS.start + (folders::hash(&home.root) % u64::from(PORTS.end - PORTS.start)) as u16
}

/// A port on which nobody listens: the preferred one, or any.
fn free_port(preferred: Option<u16>) -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let random = std::iter::repeat_with(|| {
        let [a, b, ..] = uuid::Uuid::new_v4().into_bytes();
        PORTS.start + u16::from_be_bytes([a, b]) % (PORTS.end - PORTS.start)
    });
    let mut ports = preferred.into_iter().chain(random.take(1000));
    ports.find(is_free).ok_or(Error::NoPort { first: PORTS.start, last: PORTS.end - 1 })
}

fn is_port_taken(error: &Error) -> bool {
    matches!(error, Error::Start { log, .. } if log.contains("could not bind"))
}

fn is_memory_in_use(error: &Error) -> bool {
    matches!(error, Error::Start { log, .. } if log.contains("pre-existing shared memory block"))
}

/// Runs what takes longer than an async thread should.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(std::io::Error::other(e)).context("wait for", "a blocking thread"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_the_preferred_one_is_kept() {
        let port = free_port(None).unwrap();
        assert!(PORTS.contains(&port));
        assert_eq!(free_port(Some(port)).unwrap(), port);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(free_port(Some(taken.local_addr().unwrap().port())).unwrap(), port);
    }
}
