//! Helpers of the tests: a folder that is deleted, a program that can be killed, waiting for a
//! condition.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its own part, and fails by panicking"
)]

use sqlx::{Connection, PgConnection};
use std::{
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A folder that the server's user can pass, in memory where there is room (initdb writes a
/// thousand files and waits for the disk), else in the temporary directory; deleted at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let parent = if has_room("/dev/shm") { "/dev/shm".into() } else { std::env::temp_dir() };
        let path = parent.join(format!("tasker-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The server of a killed program may still be writing while it shuts down.
        let started = Instant::now();
        while let Err(e) = std::fs::remove_dir_all(&self.0) {
            if started.elapsed() > Duration::from_secs(10) {
                eprintln!("cannot remove {}: {e}", self.0.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn has_room(folder: &str) -> bool {
    let output = Command::new("df").args(["-Pk", folder]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let free = printed
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().nth(3))
        .map(str::parse::<u64>);
    matches!(free, Some(Ok(kibibytes)) if kibibytes > 2 << 20)
}

/// A program of its own: this test binary, running one ignored test that prints what it found.
/// Killed at the end.
pub struct Program {
    pub child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Program {
    pub fn start(test: &str, environment: &[(&str, &Path)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .envs(environment.iter().copied())
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The value of the next line `name=value` it prints.
    pub fn value(&mut self, name: &str) -> String {
        let start = format!("{name}=");
        for line in &mut self.lines {
            let line = line.unwrap();
            // libtest prints its own text before the first one, without a newline.
            if let Some((_, value)) = line.split_once(&start) {
                return value.to_owned();
            }
        }
        panic!("the program ended without printing {name}");
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal as `kill` does, to a process or with a minus to a process group; whether there
/// was one.
pub fn signal(name: &str, target: &str) -> bool {
    // dash takes -123 for an option without the two dashes.
    let script = "kill -s \"$1\" -- \"$2\" 2>/dev/null";
    Command::new("/bin/sh").args(["-c", script, "sh", name, target]).status().unwrap().success()
}

/// Whether the process is there and not a zombie.
pub fn is_running(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => signal("0", &pid.to_string()),
    }
}

/// Polls until the condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// One text value.
pub async fn ask(url: &str, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(&mut connect(url).await).await.unwrap()
}

pub async fn run(url: &str, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connect(url).await).await.unwrap();
}

pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
