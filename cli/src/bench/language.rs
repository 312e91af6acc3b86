//! `--language`: a worker in another language in turn with the Rust worker of the same build. Its
//! program is handed to the interpreter on the PATH, which must find the package `pgtasker`.

use super::{BenchError, processes::command};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::Path;
use tokio::process::Command;

/// A handler of the language. `noop` is in every worker and never leaves Rust.
const HANDLER: &str = "nothing";

/// A language that has workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Run by python3.
    Python,
    /// Run by node.
    Typescript,
    /// Run by ruby.
    Ruby,
}

impl Language {
    /// At the head of a column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Python => "PYTHON",
            Self::Typescript => "TYPESCRIPT",
            Self::Ruby => "RUBY",
        }
    }

    fn interpreter(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Python => ("python3", &["-c", include_str!("languages/worker.py")]),
            Self::Typescript => {
                ("node", &["--input-type=module", "-e", include_str!("languages/worker.mjs")])
            }
            Self::Ruby => ("ruby", &["-e", include_str!("languages/worker.rb")]),
        }
    }

    /// A worker with one handler that does nothing.
    pub fn worker(self, url: &str, namespace: &str, concurrency: u32) -> Command {
        let (interpreter, args) = self.interpreter();
        let mut command = command(Path::new(interpreter), url, args);
        command
            .env("TASKER_WORKER_NAMESPACE", namespace)
            .env("TASKER_WORKER_CONCURRENCY", concurrency.to_string());
        command
    }

    /// The same template for the handler of the language.
    pub fn calls(mut definition: Value) -> Value {
        for step in definition["steps"].as_array_mut().into_iter().flatten() {
            step["handler"]["callable"] = json!(HANDLER);
        }
        definition
    }

    /// Whether its interpreter finds the package.
    ///
    /// # Errors
    /// It does not, or is not there; what to do is in the error.
    pub async fn check(self) -> Result<(), BenchError> {
        let (interpreter, args) = self.interpreter();
        let import = match self {
            Self::Python => "import pgtasker",
            Self::Typescript => "import \"pgtasker\"",
            Self::Ruby => "require \"pgtasker\"",
        };
        let args = args.iter().take(args.len() - 1).chain([&import]);
        let hint = "docs/languages.md says how to build and install it";
        let output = Command::new(interpreter).args(args).output().await;
        let output = output.map_err(|e| format!("{interpreter} cannot be run: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(format!("{interpreter} does not find pgtasker: {last}; {hint}").into())
    }
}
