//! The options, and what a test runner asks a test program.

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// Whose workers answer besides Rust's.
    pub languages: Vec<String>,
    /// Only the scenarios whose names begin so.
    pub only: Option<String>,
    /// Prints every answer.
    pub show: bool,
    /// Set in children: `worker` or `consumer`.
    pub role: Option<String>,
}

/// Those that have workers.
const LANGUAGES: &[&str] = &["python", "typescript", "ruby"];
const USAGE: &str = "options: --languages python,typescript,ruby, --only NAME, --show";

impl Args {
    /// None: there is nothing to run, as the runner asked for other tests or for a list.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self::default();
        let (mut filtered, mut matched) = (false, false);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value; {USAGE}"));
            match word.as_str() {
                "--languages" => args.languages = languages(&value()?)?,
                "--only" => args.only = Some(value()?),
                "--role" => args.role = Some(value()?),
                "--show" => args.show = true,
                // What `cargo test` passes on to every test program.
                "--list" => return Ok(None),
                "--test-threads" | "--format" | "--color" | "--skip" => drop(value()?),
                "--help" | "-h" => return Err(USAGE.to_owned()),
                word if word.starts_with("--") => {
                    let known = ["--nocapture", "--exact", "--include-ignored", "--quiet"];
                    if !known.contains(&word) {
                        return Err(format!("there is no option {word}; {USAGE}"));
                    }
                }
                filter => {
                    filtered = true;
                    matched |= "conformance".contains(filter);
                }
            }
        }
        Ok((matched || !filtered).then_some(args))
    }
}

fn languages(list: &str) -> Result<Vec<String>, String> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match LANGUAGES.contains(&name) {
            true => Ok(name.to_owned()),
            false => Err(format!("there is no language {name}: {}", LANGUAGES.join(", "))),
        })
        .collect()
}
