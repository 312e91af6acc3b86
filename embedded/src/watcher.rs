//! The server's parent: a small shell script that stops the server when this program ends, however
//! it ends. Rust code alone could not do so: nothing of it runs after kill -9.

use crate::{
    account::Account,
    error::{Context, Error, Result},
    folders::Home,
    postmaster,
};
use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ExitStatus, Stdio},
    time::Duration,
};
use tokio::time::Instant;

/// How often files and processes are looked at.
pub(crate) const POLL: Duration = Duration::from_millis(4);
/// The most of the log that goes into an error, in bytes.
const LOG_TAIL: u64 = 4096;

/// What the watcher starts, and how it ends it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub postgres: PathBuf,
    pub home: Home,
    /// `-c` settings in this order.
    pub settings: Vec<(String, String)>,
    /// The data folder to copy first, and the whole home deleted at the end.
    pub throwaway: Option<PathBuf>,
}

/// A running watcher, with the server below it.
#[derive(Debug)]
pub(crate) struct Watcher {
    child: Child,
    /// Open as long as the server is wanted. std opens it close-on-exec: no child of this program
    /// inherits it and keeps the server alive.
    pipe: Option<ChildStdin>,
    log: File,
    log_path: PathBuf,
    /// Where this server's part of the log begins.
    log_start: u64,
    data: PathBuf,
}

impl Watcher {
    /// Starts the watcher, which starts the server.
    pub fn spawn(plan: &Plan, account: &Account) -> Result<Self> {
        let log_path = plan.home.log();
        let mut options = File::options();
        let mut log = options
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&log_path)
            .context("open", &log_path)?;
        let log_start = log.seek(SeekFrom::End(0)).context("read", &log_path)?;
        let mut child = account
            .command("/bin/sh")
            .args(arguments(plan))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("open", &log_path)?)
            .stderr(log.try_clone().context("open", &log_path)?)
            .spawn()
            .context("run", "/bin/sh")?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe, log, log_path, log_start, data: plan.home.data.clone() })
    }

    /// Waits until a server with another pid than `previous` accepts connections.
    ///
    /// # Errors
    /// [`Error::Start`] when it ended, or is not ready after `at_most`.
    pub async fn ready(&mut self, previous: Option<u32>, at_most: Duration) -> Result<u32> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(state) = postmaster::read(&self.data)
                && state.ready
                && Some(state.pid) != previous
            {
                return Ok(state.pid);
            }
            if let Some(status) = self.ended()? {
                return Err(self.start_error(format!("it ended with {status}")));
            }
            if Instant::now() >= deadline {
                let why = format!("it did not accept connections within {} s", at_most.as_secs());
                return Err(self.start_error(why));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends the server a signal by its name, as in `kill -s`.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        match &mut self.pipe {
            Some(pipe) => pipe
                .write_all(format!("{name}\n").as_bytes())
                .context("write to", "the watcher's pipe"),
            None => Ok(()),
        }
    }

    /// Asks the server to stop, without waiting.
    pub fn close(&mut self) {
        self.pipe = None;
    }

    /// The end of the watcher, which is the end of the server, if it has come.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("wait for", "the server's watcher")
    }

    /// Waits for the end of the server; None after `at_most`.
    pub async fn wait(&mut self, at_most: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + at_most;
        loop {
            let ended = self.ended()?;
            if ended.is_some() || Instant::now() >= deadline {
                return Ok(ended);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops the server and reaps the watcher, in the background.
    pub fn abandon(mut self) {
        self.close();
        std::thread::spawn(move || {
            if let Err(e) = self.child.wait() {
                tracing::warn!("waiting for the PostgreSQL server's watcher: {e}");
            }
        });
    }

    fn start_error(&mut self, why: String) -> Error {
        let log = self.log_tail().unwrap_or_else(|e| format!("(the log cannot be read: {e})"));
        Error::Start { why, path: self.log_path.clone(), log }
    }

    /// The end of what this server has logged. By our own handle: a throwaway's log is deleted with
    /// it.
    fn log_tail(&mut self) -> std::io::Result<String> {
        let end = self.log.seek(SeekFrom::End(0))?;
        self.log.seek(SeekFrom::Start(self.log_start.max(end.saturating_sub(LOG_TAIL))))?;
        let mut bytes = Vec::new();
        (&self.log).take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}

/// The mark in the run folder that makes the watcher start the server again after its end.
pub(crate) fn again_mark(home: &Home) -> PathBuf {
    home.run.join("again")
}

fn arguments(plan: &Plan) -> Vec<OsString> {
    let (stop, template, delete) = match &plan.throwaway {
        // Its data is deleted: nothing is worth a checkpoint.
        Some(template) => ("QUIT", template.as_path(), plan.home.root.as_path()),
        None => ("INT", Path::new(""), Path::new("")),
    };
    let mut arguments: Vec<OsString> =
        ["-c", include_str!("watcher.sh"), "tasker-postgres-watcher"].map(OsString::from).to_vec();
    arguments.extend([plan.home.run.clone().into(), plan.home.data.clone().into(), stop.into()]);
    arguments.extend([template.into(), delete.into(), plan.postgres.clone().into()]);
    arguments.extend(["-D".into(), plan.home.data.clone().into()]);
    for (name, value) in &plan.settings {
        arguments.extend(["-c".into(), format!("{name}={value}").into()]);
    }
    arguments
}
