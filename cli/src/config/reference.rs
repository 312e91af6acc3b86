//! The reference of all settings, made from the options themselves.

use super::settings::{Kind, SETTINGS, Setting};
use clap::Command;

/// What stands before the reference on the page.
const PAGE: &str = include_str!("page.md");
const PROFILES: &str = "\n# A place to work on, for --profile.\n# [profiles.production]\n\
    # api = \"https://tasker.example.com\"\n# api_key = \"…\"\n\n# [profiles.staging]\n\
    # database_url = \"postgres://user:password@host:5432/database\"\n";

/// A configuration file in which every setting is commented out.
pub fn file(program: &Command) -> String {
    let (mut text, mut last) = (String::new(), "");
    for setting in SETTINGS {
        let (section, _) = setting.place();
        if section != last {
            text.push_str(&format!("\n[{section}]"));
            last = section;
        }
        text.push('\n');
        text.push_str(&entry(setting, program));
    }
    text.push_str(PROFILES);
    text.trim_start().to_owned()
}

/// The page docs/configuration.md.
pub fn page(program: &Command) -> String {
    format!("{PAGE}```toml\n{}```\n", file(program))
}

fn entry(setting: &Setting, program: &Command) -> String {
    let option = setting.option(program);
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    // A default in the help's own words: what no literal says.
    let (help, in_words) = match help.split_once(" [default: ") {
        Some((help, rest)) => (help, rest.split(']').next()),
        None => (help.as_str(), None),
    };
    let help = help.trim_end_matches('.');
    let kind = setting.kind(program);
    let default: Vec<String> = option
        .get_default_values()
        .iter()
        .map(|value| literal(&value.to_string_lossy(), kind))
        .collect();
    let names: Vec<String> =
        option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let choice = match names.is_empty() || kind == Kind::Switch {
        true => String::new(),
        false => format!(" One of: {}.", names.join(", ")),
    };
    let variable = match setting.key {
        "database.url" => "DATABASE_URL, TASKER_DATABASE_URL".to_owned(),
        _ => setting.variable(),
    };
    let flag = option.get_long().unwrap_or_default();
    let of = commands(setting);
    let value = match (kind, default.first()) {
        (Kind::Switch, _) => "false".to_owned(),
        (_, Some(default)) => default.clone(),
        (_, None) => setting.example.to_owned(),
    };
    let unset = match in_words {
        Some(words) => format!(" Default: {words}."),
        None if default.is_empty() && kind != Kind::Switch => " No default.".to_owned(),
        None => String::new(),
    };
    let (_, key) = setting.place();
    format!("# {help}.{choice}{unset}\n# --{flag}{of}; {variable}\n# {key} = {value}\n")
}

/// The commands that have it.
fn commands(setting: &Setting) -> String {
    let names: Vec<&str> = setting
        .options
        .iter()
        .map(|(command, _)| *command)
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) }
}

fn literal(value: &str, kind: Kind) -> String {
    match kind {
        Kind::Number | Kind::Switch => value.to_owned(),
        Kind::Text | Kind::List => format!("{value:?}"),
    }
}
