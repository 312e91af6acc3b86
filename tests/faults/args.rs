//! The options, and what a test runner asks a test program.

use crate::languages::Language;
use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// See the module.
#[derive(Debug, Clone)]
pub struct Args {
    /// For all that is random.
    pub seed: u64,
    /// How long things are killed.
    pub chaos: Duration,
    /// Mean time between two deaths.
    pub every: Duration,
    /// Worker processes.
    pub workers: usize,
    /// What they are written in, in turn.
    pub languages: Vec<Language>,
    /// Orchestrator processes.
    pub orchestrators: usize,
    /// How many tasks are open at any time.
    pub open_tasks: i64,
    /// How long the open tasks may take to end once nothing is killed any more.
    pub patience: Duration,
    /// Breaks the engine by some of [`crate::sabotage::SABOTAGE`]; then the run must find it.
    pub sabotage: Option<String>,
    /// Set in children: which, and the database.
    pub role: Option<(String, String)>,
}

const USAGE: &str = "options: --seed N, --minutes M (0.15), --every-ms N (600: mean time between \
    two deaths), --workers N (3), --languages rust,python,typescript,ruby (rust: those of the \
    workers, in turn), --orchestrators N (2), --open-tasks N (300), --sabotage \
    fence|effects|sending|checkpoint|verdicts|events|lost_events, or several with commas: the \
    run must then fail";

impl Args {
    /// None: there is nothing to run, as the runner asked for other tests or for a list.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut args = Self {
            seed: u64::from(now.subsec_nanos()),
            chaos: Duration::from_secs(9),
            every: Duration::from_millis(600),
            workers: 3,
            languages: vec![Language::Rust],
            orchestrators: 2,
            open_tasks: 300,
            patience: Duration::from_secs(120),
            sabotage: None,
            role: None,
        };
        let (mut role, mut url, mut filtered, mut matched) = (None, None, false, false);
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value; {USAGE}"));
            match word.as_str() {
                "--seed" => args.seed = number(&word, &value()?)?,
                "--minutes" => {
                    let minutes: f64 = number(&word, &value()?)?;
                    args.chaos = Duration::try_from_secs_f64(minutes * 60.0)
                        .map_err(|e| format!("--minutes: {e}"))?;
                }
                "--every-ms" => args.every = Duration::from_millis(number(&word, &value()?)?),
                "--workers" => args.workers = number(&word, &value()?)?,
                "--languages" => {
                    args.languages =
                        value()?.split(',').map(Language::parse).collect::<Result<_, _>>()?;
                    args.workers = args.workers.max(args.languages.len());
                }
                "--orchestrators" => args.orchestrators = number(&word, &value()?)?,
                "--open-tasks" => args.open_tasks = number(&word, &value()?)?,
                "--sabotage" => args.sabotage = Some(value()?),
                "--role" => role = Some(value()?),
                "--url" => url = Some(value()?),
                "--help" => return Err(USAGE.to_owned()),
                "--list" => {
                    println!("faults: test");
                    return Ok(None);
                }
                // From the usual test runner; they mean nothing here.
                "--nocapture" | "--exact" | "--include-ignored" | "--quiet" | "-q"
                | "--show-output" => {}
                "--ignored" => return Ok(None),
                "--test-threads" | "--skip" | "--format" | "--color" | "-Z" => drop(value()?),
                option if option.starts_with('-') && option.contains('=') => {}
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}; {USAGE}"));
                }
                filter => {
                    filtered = true;
                    matched |= "faults".contains(filter);
                }
            }
        }
        args.role = role.zip(url);
        Ok((!filtered || matched).then_some(args))
    }
}

impl fmt::Display for Args {
    /// The options of this run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, workers, orchestrators, open_tasks, languages, .. } = self;
        let (minutes, every) = (self.chaos.as_secs_f64() / 60.0, self.every.as_millis());
        write!(f, "--seed {seed} --minutes {minutes:.2} --every-ms {every} --workers {workers} ")?;
        let languages: Vec<&str> = languages.iter().map(|language| language.name()).collect();
        write!(f, "--languages {} ", languages.join(","))?;
        write!(f, "--orchestrators {orchestrators} --open-tasks {open_tasks}")
    }
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option}: {text} is not a number of the right kind; {USAGE}"))
}
