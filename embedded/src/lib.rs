//! pgtasker-embedded: a real PostgreSQL server, started by the program that needs one and stopped
//! with it. It knows nothing of Tasker and uses none of its crates. The CLI and the tests call it;
//! a worker of one's own does not carry it.
//!
//! It finds an installed PostgreSQL (15 or newer) and makes a cluster in a folder. The server
//! listens on 127.0.0.1 with a generated password, and ends with the program, even by kill -9.
//!
//! ```no_run
//! # async fn example() -> pgtasker_embedded::Result<()> {
//! use pgtasker_embedded::Embedded;
//!
//! let server = Embedded::builder().dir(".tasker").start().await?;
//! println!("psql {}", server.url("postgres"));
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! For tests, [`Embedded::ephemeral`] starts a throwaway server in a quarter of a second and leaves
//! nothing behind.
//!
//! # Which PostgreSQL
//! The folder given to the builder, else TASKER_PG_BIN (an error if it holds none); else the
//! first of 15 or newer from `pg_config --bindir`, the usual folders of Debian, RPM, Alpine,
//! Homebrew, and Postgres.app, PATH, and the cache of downloads (`~/.cache/tasker/postgresql`).
//! Existing data prefers the version that made it.
//!
//! If none is found, starting fails and says what to install. The feature `download` fetches an
//! archive into the cache first, but refuses it today: it accepts only archives whose hashes stand
//! in this crate, and none stand there yet.
//!
//! # How it stops with the program
//! The server's parent is a small shell script in a process group of its own, which waits for the
//! end of a pipe that this program holds open. ctrl-c reaches the program, not the server: the
//! program can finish its work with the database, and the server stops (a fast shutdown) when the
//! [`Embedded`] is stopped or dropped, or when the program is gone.
//!
//! # Folders
//! In the folder given: `data/`, `password`, `run/` (the socket), `postgres.log`, `lock`, and
//! `server.json`, in which [`recorded_url`] finds the server from another process. Where the
//! server's user cannot reach the folder (as root the server runs as `postgres`, else `nobody`),
//! all but `server.json` is in `/tmp/tasker-<uid>/`.

mod account;
mod binaries;
mod builder;
mod cluster;
#[cfg(feature = "download")]
mod download;
mod error;
mod folders;
mod postmaster;
mod record;
mod recorded;
mod server;
mod watcher;

pub use builder::Builder;
pub use error::{Error, Result};
pub use record::{recorded, recorded_url};
pub use recorded::Recorded;
pub use server::Embedded;
