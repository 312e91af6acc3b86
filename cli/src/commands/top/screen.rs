//! The terminal while `tasker top` has it: a screen of its own, keys without Enter. Given back as
//! it was, whatever ends the program but SIGKILL.

use crate::error::Result;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::{
    io::{IsTerminal, Read, Write},
    thread,
};
use tokio::sync::mpsc;

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";
const REST_OF_LINE: &str = "\u{1b}[K";
const REST_OF_SCREEN: &str = "\u{1b}[J";
const CLEAR: &str = "\u{1b}[2J";
/// Keys that wait to be read.
const KEYS: usize = 16;
/// Where the terminal does not tell.
const USUAL: (u16, u16) = (24, 80);

/// A key, as far as it means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Quit,
    Other,
}

/// The terminal; dropped, it is as before.
pub struct Screen {
    keys: mpsc::Receiver<Key>,
    /// None: standard input is no terminal, and there are no keys.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn open() -> Result<Self> {
        let stdin = std::io::stdin();
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin)).transpose()?;
        let (sender, keys) = mpsc::channel(KEYS);
        if let Some(before) = &before {
            let mut quiet = before.clone();
            // ctrl-c comes as a key, ctrl-z not at all: stopped, the shell would be on this screen.
            quiet.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
            quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&stdin, OptionalActions::Flush, &quiet)?;
            // Never joined: a read cannot be given up. The thread ends with the program.
            thread::spawn(move || read_keys(&sender));
        }
        let screen = Self { keys, before };
        write(ENTER)?;
        Ok(screen)
    }

    /// The next key; waits forever if no more can come.
    pub async fn key(&mut self) -> Key {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }

    /// Draws what `page` gives for this width and height.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn show(&mut self, page: impl Fn(usize, usize) -> Vec<String>) -> Result<()> {
        let size = console::Term::stdout()
            .size_checked()
            .filter(|&(rows, columns)| rows > 0 && columns > 0);
        let (rows, columns) = size.unwrap_or(USUAL);
        let lines = page(columns.into(), rows.into());
        write(&frame(&lines))
    }

    /// After a resize: what a terminal makes of the old lines differs.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn clear(&mut self) -> Result<()> {
        write(CLEAR)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to give back.
        write(LEAVE).ok();
        if let Some(before) = &self.before {
            tcsetattr(std::io::stdin(), OptionalActions::Flush, before).ok();
        }
    }
}

/// The lines over what is there, without a blank in between: no flicker. No line end after the
/// last: it would scroll.
fn frame(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}{REST_OF_LINE}")).collect();
    format!("{HOME}{}{REST_OF_SCREEN}", lines.join("\r\n"))
}

fn write(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

fn read_keys(keys: &mpsc::Sender<Key>) {
    for byte in std::io::stdin().lock().bytes() {
        let Ok(byte) = byte else { return };
        if keys.blocking_send(key(byte)).is_err() {
            return;
        }
    }
}

fn key(byte: u8) -> Key {
    match byte {
        // Also ctrl-c and ctrl-d.
        b'q' | b'Q' | 3 | 4 => Key::Quit,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_scrolls_and_leaves_nothing_of_the_one_before() {
        let text = frame(&["a".to_owned(), "b".to_owned()]);
        assert_eq!(text, "\u{1b}[Ha\u{1b}[K\r\nb\u{1b}[K\u{1b}[J");
    }

    #[test]
    fn q_and_ctrl_c_end_it() {
        assert_eq!([b'q', 3, b'x', 27].map(key), [Key::Quit, Key::Quit, Key::Other, Key::Other]);
    }
}
