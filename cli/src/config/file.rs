//! The configuration file: TOML, every key known, every value of its type and in its range.

use super::{
    mask,
    settings::{Kind, PROFILE, SETTINGS, Setting},
    suggest::suggestion,
};
use crate::error::{Error, Result};
use clap::{Arg, Command, builder::BoolishValueParser};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A file that has been read.
#[derive(Debug, Clone, Default)]
pub struct File {
    pub path: PathBuf,
    /// What it sets, by key.
    pub values: BTreeMap<&'static str, Value>,
    pub profiles: BTreeMap<String, BTreeMap<&'static str, Value>>,
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// As on the command line; several of a list.
    pub texts: Vec<String>,
    /// In the file, from 1.
    pub line: usize,
}

impl std::fmt::Debug for Value {
    /// It may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("line", &self.line).finish_non_exhaustive()
    }
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, or has keys or values that are wrong: all of them, each with
    /// its line.
    pub fn read(path: &Path, program: &Command) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::from(error).context(format!("cannot read {}", path.display()))
        })?;
        Self::parse(path, &text, program)
    }

    /// The same of a text.
    pub fn parse(path: &Path, text: &str, program: &Command) -> Result<Self> {
        let at = |line: usize, message: &str| format!("{}:{line}: {message}", path.display());
        let table = DeTable::parse(text).map_err(|error| {
            // Not the error's own text: that shows the line, which may hold a password.
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            Error::new(at(line, error.message()))
        })?;
        let mut reader = Reader {
            text,
            program,
            file: Self { path: path.to_owned(), ..Self::default() },
            wrong: Vec::new(),
        };
        reader.all(table.get_ref());
        let Reader { file, wrong, .. } = reader;
        if wrong.is_empty() {
            return Ok(file);
        }
        let lines: Vec<String> = wrong.iter().map(|(line, message)| at(*line, message)).collect();
        Err(Error::new(lines.join("\n       "))
            .or_hint("`tasker config reference` lists every setting"))
    }
}

struct Reader<'a> {
    text: &'a str,
    program: &'a Command,
    file: File,
    wrong: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn all(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            match value.get_ref() {
                DeValue::Table(profiles) if name == "profiles" => self.profiles(profiles),
                DeValue::Table(section)
                    if SETTINGS.iter().any(|setting| setting.place().0 == name) =>
                {
                    for (key, value) in section {
                        self.setting(&format!("{name}.{}", key.get_ref()), key.span().start, value);
                    }
                }
                DeValue::Table(_) => {
                    let sections =
                        SETTINGS.iter().map(|setting| setting.place().0).chain(["profiles"]);
                    let message =
                        format!("there is no section [{name}]{}", suggestion(name, sections));
                    self.wrong(key.span().start, message);
                }
                _ => self.setting(name, key.span().start, value),
            }
        }
    }

    fn setting(&mut self, key: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let Some(setting) = Setting::of(key) else {
            let keys = SETTINGS.iter().map(|setting| setting.key);
            return self.wrong(at, format!("there is no setting {key}{}", suggestion(key, keys)));
        };
        let checked = texts(value.get_ref(), setting.kind(self.program))
            .and_then(|texts| check(setting.option(self.program), &texts).map(|()| texts));
        match checked {
            Ok(texts) => {
                let line = line_of(self.text, at);
                self.file.values.insert(setting.key, Value { texts, line });
            }
            Err(problem) => self.wrong(at, format!("{key}: {problem}")),
        }
    }

    fn profiles(&mut self, profiles: &DeTable<'_>) {
        for (name, profile) in profiles {
            let full = format!("profiles.{}", name.get_ref());
            let DeValue::Table(table) = profile.get_ref() else {
                let message = format!("{full} is a section: [{full}] with {}", PROFILE.join(", "));
                self.wrong(name.span().start, message);
                continue;
            };
            let mut values = BTreeMap::new();
            for (key, value) in table {
                let at = key.span().start;
                let Some(known) = PROFILE.iter().find(|known| **known == key.get_ref().as_ref())
                else {
                    let near = suggestion(key.get_ref(), PROFILE.iter().copied());
                    self.wrong(at, format!("a profile has no {}{near}", key.get_ref()));
                    continue;
                };
                match texts(value.get_ref(), Kind::Text) {
                    Ok(texts) => {
                        values.insert(*known, Value { texts, line: line_of(self.text, at) });
                    }
                    Err(problem) => self.wrong(at, format!("{full}.{known}: {problem}")),
                }
            }
            if values.contains_key("api") && values.contains_key("database_url") {
                let message =
                    format!("{full} has both api and database_url: a profile is for one of them");
                self.wrong(name.span().start, message);
            }
            self.file.profiles.insert(name.get_ref().to_string(), values);
        }
    }

    fn wrong(&mut self, at: usize, message: String) {
        self.wrong.push((line_of(self.text, at), message));
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The value as it would stand on the command line.
fn texts(value: &DeValue<'_>, kind: Kind) -> Result<Vec<String>, String> {
    let wanted = match kind {
        Kind::Switch => "true or false",
        Kind::Number => "a whole number, without quotes",
        Kind::List => "a list of texts, such as [\"a\", \"b\"]",
        Kind::Text => "a text in quotes",
    };
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => Ok(vec![on.to_string()]),
        (Kind::Number, DeValue::Integer(number)) => {
            i64::from_str_radix(number.as_str(), number.radix())
                .map(|number| vec![number.to_string()])
                .map_err(|error| error.to_string())
        }
        (Kind::Text, DeValue::String(text)) => Ok(vec![text.to_string()]),
        (Kind::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| {
                item.get_ref()
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| format!("it must be {wanted}"))
            })
            .collect(),
        (_, other) => Err(format!("it must be {wanted}, not {}", described(other))),
    }
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// What the option itself says to these values.
pub fn check(option: &Arg, texts: &[String]) -> Result<(), String> {
    let mut value = Arg::new("value").long("value").allow_hyphen_values(true).require_equals(true);
    value = match option.get_action() {
        clap::ArgAction::SetTrue => value.value_parser(BoolishValueParser::new()),
        _ => value.value_parser(option.get_value_parser().clone()),
    };
    let parser = Command::new("check").no_binary_name(true).disable_help_flag(true).arg(value);
    for text in texts {
        if let Err(error) = parser.clone().try_get_matches_from([format!("--value={text}")]) {
            let text = mask::url(text);
            // Clap's own text names an option that is not there.
            let reason = match std::error::Error::source(&error) {
                Some(reason) if reason.is::<std::num::ParseIntError>() => {
                    "it must be a whole number".to_owned()
                }
                Some(reason) => reason.to_string(),
                None => one_of(option).unwrap_or_else(|| "it cannot be this".to_owned()),
            };
            return Err(match reason.contains(&text) {
                true => reason,
                false => format!("{text:?}: {reason}"),
            });
        }
    }
    Ok(())
}

fn one_of(option: &Arg) -> Option<String> {
    let names: Vec<String> =
        option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    (!names.is_empty()).then(|| format!("it must be one of: {}", names.join(", ")))
}
