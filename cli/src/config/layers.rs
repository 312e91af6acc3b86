//! The layers below the command line: variables over the file.

use super::{
    file::{self, File},
    mask,
    settings::{self, OTHER_VARIABLES, SETTINGS, Setting},
    suggest::suggestion,
};
use crate::{
    error::{Error, Result},
    trust,
};
use clap::{ArgAction, Command, builder::BoolishValueParser};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The file of the current folder.
const HERE: &str = "tasker.toml";
/// Said once the log runs.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Where a value comes from; later variants override earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file.
    File(PathBuf, usize),
    /// A profile, and its rank: over the file that chose it, under a variable or a flag that did.
    Profile(String, u8),

    Variable(String),

    Flag(String),
}

impl Origin {
    /// The higher rank overrides the lower.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::File(..) => 1,
            Self::Profile(_, rank) => *rank,
            Self::Variable(_) => 4,
            Self::Flag(_) => 6,
        }
    }
}

impl Origin {
    /// Whether it is the configuration file, and not what the user said of this call.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(..) | Self::Profile(..))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Profile(name, _) => write!(f, "profile {name}"),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What the layers below the command line say.
#[derive(Clone, Default)]
pub struct Config {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// The names of its profiles.
    pub profiles: Vec<String>,
    values: BTreeMap<&'static str, (Vec<String>, Origin)>,
}

impl fmt::Debug for Config {
    /// Without the values, some of which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("file", &self.file).finish_non_exhaustive()
    }
}

/// What the process was started with.
pub(super) struct Surroundings<'a> {
    pub(super) arguments: &'a [OsString],
    pub(super) variables: BTreeMap<String, String>,
}

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// The file or a variable is wrong.
    pub(super) fn load(program: &Command, around: &Surroundings<'_>) -> Result<Self> {
        let file = around.file()?.map(|path| File::read(&path, program)).transpose()?;
        let mut values: BTreeMap<&'static str, (Vec<String>, Origin)> = BTreeMap::new();
        for (key, value) in file.iter().flat_map(|file| &file.values) {
            let origin = Origin::File(
                file.as_ref().map(|file| file.path.clone()).unwrap_or_default(),
                value.line,
            );
            values.insert(key, (value.texts.clone(), origin));
        }
        for setting in SETTINGS {
            if let Some((name, value)) = around.variable(setting) {
                let option = setting.option(program);
                let texts: Vec<String> = match option.get_value_delimiter() {
                    Some(delimiter) => {
                        value.split(delimiter).map(|text| text.trim().to_owned()).collect()
                    }
                    None => vec![value],
                };
                file::check(option, &texts)
                    .map_err(|problem| Error::new(format!("{name}: {problem}")))?;
                values.insert(setting.key, (texts, Origin::Variable(name)));
            }
        }
        let profiles =
            file.as_ref().map(|file| file.profiles.keys().cloned().collect()).unwrap_or_default();
        let mut config =
            Self { file: file.as_ref().map(|file| file.path.clone()), profiles, values };
        config.choose_profile(file.as_ref(), around)?;
        config.warn(file.as_ref(), around);
        Ok(config)
    }

    /// A profile stands in the layer of what chose it, above the settings of the file there, and
    /// below single variables.
    fn choose_profile(&mut self, file: Option<&File>, around: &Surroundings<'_>) -> Result<()> {
        let flag = around.flag("--profile").map(|name| (name, 5));
        let chosen = flag.or_else(|| {
            let (texts, origin) = self.values.get("profile")?;
            let rank = if matches!(origin, Origin::Variable(_)) { 3 } else { 2 };
            Some((texts.first()?.clone(), rank))
        });
        let Some((name, rank)) = chosen else { return Ok(()) };
        let Some(profile) = file.and_then(|file| file.profiles.get(&name)) else {
            let message = match &self.file {
                Some(path) => format!(
                    "there is no profile {name} in {}{}",
                    path.display(),
                    suggestion(&name, self.profiles.iter().map(String::as_str))
                ),
                None => format!("there is no profile {name}: there is no configuration file"),
            };
            return Err(Error::new(message).or_hint(
                "write [profiles.NAME] with api and api_key (and api_ca), or database_url",
            ));
        };
        for of_profile in settings::PROFILE {
            let key = if *of_profile == "database_url" { "database.url" } else { of_profile };
            if self.values.get(key).is_some_and(|(_, origin)| origin.rank() > rank) {
                continue;
            }
            // The address of another place must not stand beside the profile's.
            self.values.remove(key);
            if let Some(value) = profile.get(*of_profile) {
                self.values.insert(key, (value.texts.clone(), Origin::Profile(name.clone(), rank)));
            }
        }
        Ok(())
    }

    fn warn(&self, file: Option<&File>, around: &Surroundings<'_>) {
        let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        for name in around.variables.keys().filter(|name| name.starts_with("TASKER_")) {
            let other = OTHER_VARIABLES.contains(&name.as_str())
                || ["TASKER_TEST_", "TASKER_SECRET_"].iter().any(|prefix| name.starts_with(prefix));
            if !other && !known.contains(name) {
                let near = suggestion(name, known.iter().map(String::as_str));
                warnings.push(format!("the variable {name} names no setting{near}"));
            }
        }
        let Some(file) = file else { return };
        let secret =
            file.values.keys().any(|key| Setting::of(key).is_some_and(|setting| setting.secret))
                || file.profiles.values().any(|profile| !profile.is_empty());
        if secret && is_world_readable(&file.path) {
            let path = file.path.display();
            warnings
                .push(format!("{path} holds secrets and everybody may read it: chmod 600 {path}"));
        }
    }

    /// Gives the values to the options.
    pub(super) fn apply(&self, mut program: Command) -> Command {
        for setting in SETTINGS {
            for (command, id) in setting.options {
                let change = |mut option: clap::Arg| {
                    if matches!(option.get_action(), ArgAction::SetTrue) {
                        option = option.value_parser(BoolishValueParser::new());
                    }
                    // Named in the help; read by clap only where that changes nothing.
                    let variable = setting.variable();
                    let below = self.values.get(setting.key);
                    option = match below {
                        Some((_, Origin::Variable(name))) => option.env(leak(name)),
                        None if std::env::var_os(&variable).is_none() => {
                            option.env(leak(&variable))
                        }
                        _ => option,
                    };
                    option = option.hide_env_values(true);
                    let Some((texts, _)) = below else { return option };
                    let secret =
                        setting.secret || texts.iter().any(|text| mask::url(text) != *text);
                    let texts: Vec<&'static str> = texts.iter().map(|text| leak(text)).collect();
                    option.required(false).default_values(texts).hide_default_value(secret)
                };
                program = match *command {
                    "" => program.mut_arg(id, change),
                    name => program.mut_subcommand(name, |command| command.mut_arg(id, change)),
                };
            }
        }
        program
    }

    /// Where the value of this key comes from, flags left out; none: the default.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        self.values.get(key).map(|(_, origin)| origin)
    }

    /// The value of a setting and where it comes from, flags left out; none: the default.
    pub fn value(&self, setting: &Setting) -> Option<(&[String], &Origin)> {
        self.values.get(setting.key).map(|(texts, origin)| (texts.as_slice(), origin))
    }
}

impl Surroundings<'_> {
    /// An option that must be known before clap parses.
    fn flag(&self, name: &str) -> Option<String> {
        let mut arguments = self
            .arguments
            .iter()
            .filter_map(|argument| argument.to_str())
            .take_while(|a| *a != "--");
        while let Some(argument) = arguments.next() {
            if argument == name {
                return arguments.next().map(str::to_owned);
            }
            if let Some(value) = argument.strip_prefix(name).and_then(|rest| rest.strip_prefix('='))
            {
                return Some(value.to_owned());
            }
        }
        None
    }

    /// The variable of a setting, with its name.
    fn variable(&self, setting: &Setting) -> Option<(String, String)> {
        let names = [
            Some(setting.variable()),
            (setting.key == "database.url").then(|| "DATABASE_URL".to_owned()),
        ];
        names.into_iter().flatten().find_map(|name| {
            let value = self.variables.get(&name)?.clone();
            Some((name, value))
        })
    }

    /// The file to read: the one that is named, else the first that exists.
    fn file(&self) -> Result<Option<PathBuf>> {
        let named = self.flag("--config").or_else(|| self.variables.get("TASKER_CONFIG").cloned());
        if let Some(named) = named {
            return Ok(Some(PathBuf::from(named)));
        }
        let home = || Some(Path::new(self.variables.get("HOME")?).join(".config"));
        let folder = self.variables.get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
        let places =
            [Some(PathBuf::from(HERE)), folder.map(|folder| folder.join("tasker/config.toml"))];
        let found = places.into_iter().flatten().find(|path| path.is_file());
        // A named file is meant, no matter who wrote it.
        found.as_deref().map_or(Ok(()), trust::check)?;
        Ok(found)
    }
}

/// For the rest of the process, as clap wants it: a few settings.
fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

/// Says what was found wrong before there was a log.
pub fn tell_warnings() {
    for warning in WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        tracing::warn!("{warning}");
    }
}
