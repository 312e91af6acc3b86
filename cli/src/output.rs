//! Standard output and standard error. No `println!`: it panics when its reader has gone.

use crate::error::{Error, Result};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use tokio::sync::oneshot;

/// How wide text may be, and whether people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Symbols, colours (unless NO_COLOR), wrapped lines.
    pub terminal: bool,
    /// Columns of the terminal; none: no limit.
    pub width: Option<u16>,
}

impl Look {
    /// For a file, a pipe, and tests.
    pub const PLAIN: Self = Self { terminal: false, width: None };

    /// For what is printed on standard output.
    pub fn stdout() -> Self {
        Self::of(&console::Term::stdout(), std::io::stdout().is_terminal())
    }

    /// For what is printed on standard error.
    pub fn stderr() -> Self {
        Self::of(&console::Term::stderr(), std::io::stderr().is_terminal())
    }

    fn of(term: &console::Term, terminal: bool) -> Self {
        if !terminal {
            return Self::PLAIN;
        }
        Self { terminal, width: term.size_checked().map(|(_rows, columns)| columns) }
    }
}

/// Prints text and a line end on standard output.
///
/// # Errors
/// The reader has gone (which ends the program without a failure), or the disk is full.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let line_end = if text.ends_with('\n') { "" } else { "\n" };
    write!(stdout, "{text}{line_end}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::from(error).context("cannot write to standard output"))
}

/// Prints one JSON document on standard output.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Ends when the reader of standard output has gone: where nothing is printed for long, nothing else tells. Else never.
pub async fn reader_gone() {
    let (gone, told) = oneshot::channel();
    // A thread that the end of the program does not wait for.
    std::thread::spawn(move || {
        let stdout = std::io::stdout();
        // That it has gone is told unasked; of a file it never is.
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        while let Err(Errno::INTR) = poll(&mut polled, None) {}
        if polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            gone.send(()).ok();
        }
    });
    if told.await.is_err() {
        std::future::pending().await
    }
}

/// Prints a line on standard error.
pub fn note(text: &str) {
    // Where standard error is closed there is nobody left to tell.
    writeln!(std::io::stderr(), "{text}").ok();
}
