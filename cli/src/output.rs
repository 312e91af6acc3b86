//! Standard output and standard error. No `println!`: it panics when its reader has gone.

use crate::error::{Error, Result};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use serde::Serialize;
use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
};
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
    let text = only_colours(text);
    let line_end = if text.ends_with('\n') { "" } else { "\n" };
    write!(stdout, "{text}{line_end}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::from(error).context("cannot write to standard output"))
}

/// What a terminal would obey, or show in another order than it stands; not line ends and tabs.
pub fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A stored text as it may be shown: what is hidden is written out, as in JSON (`\u001b`).
pub fn safe(text: &str) -> Cow<'_, str> {
    match text.contains(is_hidden) {
        true => Cow::Owned(text.chars().fold(String::new(), written_out)),
        false => Cow::Borrowed(text),
    }
}

fn written_out(mut text: String, c: char) -> String {
    match is_hidden(c) {
        true => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        false => text.push(c),
    }
    text
}

/// As [`safe`], but for our own colours: the last line of defence, as not every text is ours.
fn only_colours(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = rest.strip_prefix("\u{1b}[").and_then(|code| {
            let end = code.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            code[end..].starts_with('m').then_some(end + 3)
        });
        let (this, behind) = rest.split_at(colour.unwrap_or(c.len_utf8()));
        match colour {
            Some(_) => shown.push_str(this),
            None => shown = written_out(shown, c),
        }
        rest = behind;
    }
    Cow::Owned(shown)
}

/// Prints one JSON document on standard output.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Ends when the reader of standard output has gone: where nothing is printed for long, nothing
/// else tells. Else never.
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
    writeln!(std::io::stderr(), "{}", only_colours(text)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stored_is_obeyed_by_a_terminal() {
        assert_eq!(
            safe("\u{1b}[2J\u{1b}]0;owned\u{7} ü\n\t漢"),
            "\\u001b[2J\\u001b]0;owned\\u0007 ü\n\t漢"
        );
        assert_eq!(safe("a\u{202e}b\u{9b}c\r"), "a\\u202eb\\u009bc\\u000d");
        assert_eq!(safe("\u{1b}[31mred"), "\\u001b[31mred");
        let (own, others) = ("\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[2J\u{1b}[?1049h\u{1b}[3\u{1b}");
        assert_eq!(only_colours(own), own);
        assert_eq!(only_colours(others), "\\u001b[2J\\u001b[?1049h\\u001b[3\\u001b");
    }
}
