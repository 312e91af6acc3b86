//! The languages, and the programs that are their workers.

use std::path::{Path, PathBuf};

/// Whose worker answers.
#[derive(Debug, Clone)]
pub struct Language {
    /// As in `typescript on bun`.
    pub label: String,
    /// Its name in the scenario file: `python`, `typescript`, `ruby`, `rust`.
    pub family: &'static str,
    worker: Vec<String>,
    consumer: Vec<String>,
    env: Vec<(&'static str, String)>,
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

impl Language {
    /// This program itself.
    pub fn rust() -> Self {
        let program = std::env::current_exe().unwrap().display().to_string();
        let command = |role: &str| words(&[&program, "--role", role]);
        Self::new("rust", "rust", command("worker"), command("consumer"))
    }

    /// A language's, on each of its runtimes that is installed.
    ///
    /// # Errors
    /// What is missing, and what to run.
    pub fn of(name: &str) -> Result<Vec<Self>, String> {
        match name {
            "python" => Ok(vec![python()?]),
            "ruby" => Ok(vec![ruby()?]),
            "typescript" => typescript(),
            other => Err(format!("there is no language {other}")),
        }
    }

    fn new(label: &str, family: &'static str, worker: Vec<String>, consumer: Vec<String>) -> Self {
        Self { label: label.to_owned(), family, worker, consumer, env: Vec::new() }
    }

    /// The same under another name.
    pub fn named(&self, label: &str) -> Self {
        Self { label: label.to_owned(), ..self.clone() }
    }

    /// A process of it; variables are still missing.
    pub fn command(&self, consumer: bool) -> tokio::process::Command {
        let words = if consumer { &self.consumer } else { &self.worker };
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).current_dir(root()).envs(self.env.clone());
        command
    }

    /// For names of namespaces.
    pub fn word(&self) -> &str {
        self.label.rsplit(' ').next().unwrap_or_default()
    }
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn needed(path: &str) -> Result<String, String> {
    let whole = root().join(path);
    match whole.exists() {
        true => Ok(whole.display().to_string()),
        false => Err(format!("there is no {path}: run .ci/languages build, then its parts")),
    }
}

fn python() -> Result<Language, String> {
    needed("worker/python/pgtasker/_native.abi3.so")?;
    let python = needed("target/languages/venv/bin/python")?;
    let command = |name: &str| {
        let target = format!("handlers:{name}");
        words(&[&python, "-m", "pgtasker.cli", &target, "--app-dir", "tests/conformance/handlers"])
    };
    let mut language = Language::new("python", "python", command("worker"), command("consumer"));
    language.env = vec![
        ("PYTHONPATH", needed("worker/python")?),
        // No compiled files among the sources.
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ];
    Ok(language)
}

fn ruby() -> Result<Language, String> {
    needed("worker/ruby/lib/pgtasker_ruby.so")?;
    let file = "tests/conformance/handlers/handlers.rb";
    let command = words(&["ruby", "-I", "worker/ruby/lib", "worker/ruby/exe/pgtasker-worker"]);
    let worker = [command, words(&["-r", file])].concat();
    let consumer = words(&["ruby", "-I", "worker/ruby/lib", file, "consumer"]);
    Ok(Language::new("ruby", "ruby", worker, consumer))
}

fn typescript() -> Result<Vec<Language>, String> {
    let native = match std::env::var("PGTASKER_NATIVE") {
        Ok(path) => path,
        Err(_) => needed("target/languages/pgtasker.node")?,
    };
    let cli = needed("worker/typescript/dist/esm/cli.js")?;
    let runtimes =
        ["node", "bun", "deno"].into_iter().filter_map(|name| Some((name, runtime(name)?)));
    let all = runtimes.map(|(name, runtime)| {
        let command = |name: &str| {
            let file = format!("tests/conformance/handlers/handlers.mjs:{name}");
            [runtime.clone(), vec![cli.clone(), file]].concat()
        };
        let label = format!("typescript on {name}");
        let mut language =
            Language::new(&label, "typescript", command("worker"), command("consumer"));
        language.env = vec![("PGTASKER_NATIVE", native.clone())];
        language
    });
    Ok(all.collect())
}

/// The program of a runtime that npm has installed; their packages run no install scripts.
fn runtime(name: &str) -> Option<Vec<String>> {
    let (os, arch) = match (std::env::consts::OS, std::env::consts::ARCH) {
        (os, "x86_64") => (os, "x64"),
        (os, arch) => (os, arch),
    };
    let deno_arch = if arch == "aarch64" { "arm64" } else { arch };
    let places = match name {
        "node" => return Some(words(&["node"])),
        "bun" => vec![format!("@oven/bun-{os}-{arch}/bin/bun"), "bun/bin/bun.exe".to_owned()],
        _ => vec![format!("@deno/{os}-{deno_arch}-glibc/deno")],
    };
    let modules = root().join("worker/typescript/node_modules");
    let path = places.iter().map(|place| modules.join(place)).find(|path| path.exists())?;
    let program = path.display().to_string();
    Some(match name {
        "deno" => words(&[&program, "run", "--allow-all", "--quiet"]),
        _ => vec![program],
    })
}
