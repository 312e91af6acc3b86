//! Workers in other languages: their programs are in workers/, with the handlers of
//! [`crate::load`].
//! `.ci/languages build` makes what they need.

use std::path::{Path, PathBuf};
use tokio::process::Command;

/// What a worker is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    Typescript,
    Ruby,
}

const ALL: [Language; 4] = [Language::Rust, Language::Python, Language::Typescript, Language::Ruby];

impl Language {
    /// By its name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|language| language.name() == name);
        let language = found
            .ok_or(format!("--languages: {name:?}: give some of rust, python, typescript, ruby"))?;
        match language.missing() {
            Some(missing) => Err(format!(
                "--languages: {} is missing: run `.ci/languages build` and `.ci/languages {name}`",
                missing.display()
            )),
            None => Ok(language),
        }
    }

    /// As in the options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Typescript => "typescript",
            Self::Ruby => "ruby",
        }
    }

    /// The first thing that it needs and that is not there.
    fn missing(self) -> Option<PathBuf> {
        let needs: &[&str] = match self {
            Self::Rust => &[],
            Self::Python => {
                &["target/languages/venv/bin/python", "worker/python/pgtasker/_native.abi3.so"]
            }
            Self::Typescript => {
                &["target/languages/pgtasker.node", "worker/typescript/node_modules/pg"]
            }
            Self::Ruby => &["worker/ruby/lib/pgtasker_ruby.so"],
        };
        needs.iter().map(|path| root().join(path)).find(|path| !path.exists())
    }

    /// A worker, with the database at `url`, and past all proxies at `direct`.
    pub fn worker(self, url: &str, direct: &str) -> Command {
        let (root, programs) = (root(), root().join("tests/faults/workers"));
        let mut command = match self {
            Self::Rust => unreachable!("it is this program"),
            Self::Python => {
                let mut python = Command::new(root.join("target/languages/venv/bin/python"));
                python
                    .arg(programs.join("worker.py"))
                    .env("PYTHONPATH", root.join("worker/python"));
                python
            }
            Self::Typescript => {
                let mut node = Command::new("node");
                // In the package's own folder `pgtasker` is itself, and `pg` is installed.
                node.args(["--input-type=module", "-e", include_str!("workers/worker.mjs")])
                    .current_dir(root.join("worker/typescript"))
                    .env("PGTASKER_NATIVE", root.join("target/languages/pgtasker.node"));
                node
            }
            Self::Ruby => {
                let mut ruby = Command::new("ruby");
                ruby.arg("-I").arg(root.join("worker/ruby/lib")).arg(programs.join("worker.rb"));
                ruby
            }
        };
        command
            .env("DATABASE_URL", url)
            .env("FAULTS_DIRECT_URL", direct)
            .env("FAULTS_BOOK_SQL", root.join("examples/src/transfer/book.sql"));
        command
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
