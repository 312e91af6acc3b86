//! Running the program as a shell does.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

/// What a run of the program left.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Standard output, of a run that must have succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The one JSON document of a run that must have succeeded.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// Standard error, of a run that must have failed without a panic.
    pub fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.contains("error: ") && !self.stderr.contains("panicked"), "{self:?}");
        self.stderr
    }
}

/// The program with this database, in `folder`.
pub fn command(url: Option<&str>, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasker"));
    command.args(args).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    for name in [
        "TASKER_DATABASE_URL",
        "DATABASE_URL",
        "RUST_LOG",
        "TASKER_HTTP_ALLOW",
        "TRACEPARENT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        command.env_remove(name);
    }
    if let Some(url) = url {
        command.env("DATABASE_URL", url);
    }
    command
}

/// Runs the program to its end.
pub async fn tasker(url: &str, args: &[&str]) -> Run {
    run(command(Some(url), &std::env::temp_dir(), args)).await
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Run {
    let output =
        tokio::time::timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Starts a process that runs until it is stopped.
pub fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads standard output until `text` has come.
pub async fn until_printed(child: &mut Child, text: &str) -> String {
    let stdout = child.stdout.as_mut().unwrap();
    let mut all = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&all).contains(text) {
            let mut chunk = [0; 4096];
            let n = stdout.read(&mut chunk).await.unwrap();
            assert!(n > 0, "ended before {text:?}: {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&chunk[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap();
    String::from_utf8(all).unwrap()
}

/// Sends SIGTERM and waits for the orderly end.
pub async fn stop(child: Child) -> Run {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of its own, deleted at the end.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path =
            std::env::temp_dir().join(format!("tasker-cli-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A template of no-op steps: `first`, then `second`.
pub const TWO_STEPS: &str = "\
namespace: shop
name: order
version: '1.0.0'
input_schema: { type: object, properties: { order_id: { type: integer } } }
steps:
  - name: first
    handler: { callable: noop }
  - name: second
    dependencies: [first]
    handler: { callable: sleep, config: { ms: 5 } }
";

/// A template whose only step fails for good.
pub const FAILING: &str = "\
namespace: shop
name: failing
version: '1.0.0'
steps:
  - name: call
    handler: { callable: http, config: { url: 'http://127.0.0.1:1/' } }
";
