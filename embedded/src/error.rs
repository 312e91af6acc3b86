//! What can go wrong between "start a PostgreSQL" and a server that answers.
//! Every message says what to do next.

use crate::Recorded;
use std::{io, path::PathBuf};

/// The result of a call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to install where there is no PostgreSQL; the end of [`Error::NoPostgres`].
pub(crate) const INSTALL: &str = "install PostgreSQL 15 or newer (Debian: apt-get install \
    postgresql; \
    macOS: brew install postgresql@18), set TASKER_PG_BIN to the folder that holds its programs \
    postgres and \
    initdb, or set DATABASE_URL to a running server";

/// Why there is no running server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No usable PostgreSQL on this machine, and none could be downloaded.
    #[error("no usable PostgreSQL found: {why}. What to do: {INSTALL}")]
    NoPostgres {
        /// What was looked at, and why a download did not help.
        why: String,
    },
    /// The folder named for the binaries does not hold a usable PostgreSQL.
    #[error(
        "{named_by} is {} but {why}; set it to the folder that holds the programs postgres and \
         initdb of \
        PostgreSQL 15 or newer, or unset it", path.display()
    )]
    BadBinFolder {
        /// `TASKER_PG_BIN`, or the builder's `bin`.
        named_by: &'static str,
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A server that Tasker started is running on this folder; use it.
    #[error(
        "PostgreSQL is already running in {} (pid {}), started by another tasker: use {}, or stop \
         that one first",
        .0.data.display(), .0.pid, .0.url
    )]
    AlreadyRunning(Box<Recorded>),
    /// A server that Tasker knows nothing about is running on the data folder.
    #[error(
        "another PostgreSQL (pid {pid}) is running on {}: stop it (kill -INT {pid}), or use \
         another folder",
        data.display()
    )]
    InUse {
        /// The data folder.
        data: PathBuf,
        /// The server's process id.
        pid: u32,
    },
    /// Another program holds the folder and its server does not answer (it starts or stops).
    #[error("another tasker is starting or stopping a PostgreSQL in {}: try again when it is \
        done", home.display())]
    Busy {
        /// The folder.
        home: PathBuf,
    },
    /// The data folder was made by another major version.
    #[error(
        "{} was made by PostgreSQL {made_by}, but the one found is {found}: set TASKER_PG_BIN to \
         the programs of PostgreSQL {made_by}, or remove the folder to start over (its data is \
         lost)",
        data.display(),
    )]
    OtherVersion {
        /// The data folder.
        data: PathBuf,
        /// The major version in its `PG_VERSION`.
        made_by: u32,
        /// The version of the programs, with their folder.
        found: String,
    },
    /// There is a data folder, but not one of ours.
    #[error(
        "{} {why}: remove it to start over (its data is lost), or use another folder",
        path.display(),
    )]
    Damaged {
        /// The file or folder that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Another user made the folder that must be ours alone.
    #[error(
        "{} belongs to another user or can be written by others: remove it, or set TMPDIR to \
         another folder",
        path.display()
    )]
    NotPrivate {
        /// The folder in the temporary directory.
        path: PathBuf,
    },
    /// The program runs as root and there is no account for the server.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody \
         to run it as: \
        create one (useradd --system postgres), or run this program as another user"
    )]
    NoAccount,
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// The name of the program.
        program: String,
        /// Its exit status and its standard error.
        output: String,
    },
    /// The server ended while starting, or did not get ready.
    #[error("PostgreSQL did not start: {why}. Its log ({}) ends with:\n{log}", path.display())]
    Start {
        /// What was seen from outside.
        why: String,
        /// Where the log is, unless it was a throwaway server.
        path: PathBuf,
        /// The last lines of the log.
        log: String,
    },
    /// Every port that was tried is in use.
    #[error(
        "no free TCP port between {first} and {last} on 127.0.0.1: close programs that listen there"
    )]
    NoPort {
        /// The lowest one tried.
        first: u16,
        /// The highest one tried.
        last: u16,
    },
    /// The server did not end in time.
    #[error("PostgreSQL did not stop within {seconds} s; its log is {}", log.display())]
    Stop {
        /// How long it was waited for, in seconds.
        seconds: u64,
        /// Where the log is.
        log: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Adds the operation and the path to an I/O error.
pub(crate) trait Context<T> {
    fn context(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::Io { what, path: path.into(), source })
    }
}
