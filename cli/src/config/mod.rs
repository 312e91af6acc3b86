//! Configuration: flags over variables over the file over defaults. The options of clap are the
//! settings; the layers below the command line are given to clap before it parses, so that a value
//! means the same wherever it comes from.

mod file;
pub mod mask;
pub mod reference;
mod settings;
mod suggest;

pub use settings::{SETTINGS, Setting};

use crate::{
    args::{Cli, Globals},
    error::{Error, Result},
    trust,
};
use clap::{
    ArgAction, Command, CommandFactory, FromArgMatches, builder::BoolishValueParser,
    error::ErrorKind, parser::ValueSource,
};
use file::File;
use settings::OTHER_VARIABLES;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use suggest::suggestion;

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
    fn rank(&self) -> u8 {
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
struct Surroundings<'a> {
    arguments: &'a [OsString],
    variables: BTreeMap<String, String>,
}

/// Parses the command line over the other layers.
///
/// # Errors
/// The file or a variable is wrong. Errors of the command line itself, help, and version end the
/// process, as clap does.
pub fn parse() -> Result<Cli> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut variables = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            // Empty ones count as not set.
            Ok(value) if value.is_empty() => {}
            Ok(value) => drop(variables.insert(name, value)),
            // Left out, it would be another database that is worked on.
            Err(_) if name.starts_with("TASKER_") || name == "DATABASE_URL" => {
                return Err(Error::new(format!("the variable {name} is not UTF-8")));
            }
            Err(_) => {}
        }
    }
    let around = Surroundings { arguments: &arguments, variables };
    match try_parse(&around) {
        Ok(Ok(cli)) => Ok(cli),
        Ok(Err(error)) => exit(&error, &arguments),
        Err(error) => Err(error),
    }
}

fn try_parse(around: &Surroundings<'_>) -> Result<Result<Cli, clap::Error>> {
    let program = Cli::command();
    let (program, config) = match Config::load(&program, around) {
        Ok(config) => (config.apply(program), Ok(config)),
        Err(error) => (program, Err(error)),
    };
    let parsed = program.try_get_matches_from(around.arguments);
    let config = match (config, &parsed) {
        (Ok(config), _) => config,
        // What is wrong does not keep anybody from looking up how it is right.
        (Err(_), Err(error)) if is_help(error.kind()) => Config::default(),
        (Err(_), Ok(matches)) if needs_none(matches) => Config::default(),
        (Err(error), _) => return Err(error),
    };
    Ok(parsed.and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        config.tell(&matches, &mut cli.globals);
        Ok(cli)
    }))
}

/// As clap does, but for a URL's password that was written in a wrong place.
fn exit(error: &clap::Error, arguments: &[OsString]) -> ! {
    let secrets: Vec<(&str, String)> = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .map(|argument| (argument, mask::url(argument)))
        .filter(|(argument, masked)| argument != masked)
        .collect();
    let rendered = error.render().to_string();
    let text = rendered.replace("invalid digit found in string", "it must be a whole number");
    let text = secrets.iter().fold(text, |text, (argument, masked)| text.replace(argument, masked));
    if text == rendered {
        error.exit();
    }
    crate::output::note(&text);
    std::process::exit(error.exit_code());
}

fn is_help(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

fn needs_none(matches: &clap::ArgMatches) -> bool {
    match matches.subcommand() {
        Some(("completions", _)) => true,
        Some(("config", config)) => config.subcommand_name() == Some("reference"),
        _ => false,
    }
}

impl Config {
    fn load(program: &Command, around: &Surroundings<'_>) -> Result<Self> {
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
    fn apply(&self, mut program: Command) -> Command {
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

    /// Tells the commands where the database and the API come from.
    fn tell(self, matches: &clap::ArgMatches, globals: &mut Globals) {
        let flag = |id: &str, name: &str| {
            let given = matches.value_source(id) == Some(ValueSource::CommandLine);
            given.then(|| Origin::Flag(name.to_owned()))
        };
        let below = |key: &str| self.values.get(key).map(|(_, origin)| origin.clone());
        globals.database_origin =
            flag("database_url", "--database-url").or_else(|| below("database.url"));
        let api = flag("api", "--api").or_else(|| below("api"));
        let key = flag("api_key", "--api-key").or_else(|| below("api_key"));
        globals.api_origins = api.clone().zip(key);
        // A database named closer to the command than the API is what the command is for.
        if let (Some(database), Some(api)) = (&globals.database_origin, api)
            && database.rank() > api.rank()
        {
            globals.api = None;
        }
        globals.config = Arc::new(self);
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
        // What is named is meant, whoever wrote it.
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

#[cfg(test)]
mod tests;
