//! A worker's process: started, listened to, signalled.

use crate::language::Language;
use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

/// How long a process that was asked to may take to end.
const END: Duration = Duration::from_secs(30);
/// Lines of its log that are shown.
const SHOWN: usize = 40;

/// What handlers have said, by their tasks: they print `note <task id> <text>`.
pub type Notes = Arc<Mutex<Vec<(String, String)>>>;

/// See the module.
pub struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(
        language: &Language,
        consumer: bool,
        env: &BTreeMap<String, String>,
        notes: &Notes,
    ) -> Result<Self, String> {
        let mut command = language.command(consumer);
        let started = command
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|error| {
            format!(
                "the worker of {} does not start: {error}: run .ci/languages build",
                language.label
            )
        })?;
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let output = child.stdout.take().unwrap();
        let errors = child.stderr.take().unwrap();
        let readers = vec![
            tokio::spawn(read(output, Arc::clone(&log), Some(Arc::clone(notes)))),
            tokio::spawn(read(errors, Arc::clone(&log), None)),
        ];
        Ok(Self { child, log, readers })
    }

    /// Its exit code, or the signal that ended it; None: it runs.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().unwrap().map(|status| match status.code() {
            Some(code) => code.to_string(),
            None => "by_a_signal".to_owned(),
        })
    }

    /// Waits for its end, and for the last of what it has said.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(&mut self) -> Result<String, String> {
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            return Err(format!("the worker does not end within {END:?}\n{}", self.told()));
        }
        for reader in self.readers.drain(..) {
            reader.await.unwrap();
        }
        Ok(self.ended().unwrap_or_default())
    }

    /// Sends a signal by its name.
    pub async fn signal(&self, name: &str) {
        if let Some(pid) = self.child.id() {
            let kill = format!("kill -{name} {pid}");
            Command::new("sh").args(["-c", &kill]).status().await.unwrap();
        }
    }

    /// The end of its log.
    pub fn told(&self) -> String {
        let log = self.log.lock().unwrap();
        log[log.len().saturating_sub(SHOWN)..].join("\n")
    }
}

async fn read(stream: impl AsyncRead + Unpin, log: Arc<Mutex<Vec<String>>>, notes: Option<Notes>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let note = notes.as_ref().zip(line.strip_prefix("note "));
        match note.and_then(|(notes, rest)| Some((notes, rest.split_once(' ')?))) {
            Some((notes, (task, text))) => {
                notes.lock().unwrap().push((task.to_owned(), text.to_owned()));
            }
            None => log.lock().unwrap().push(line),
        }
    }
}
