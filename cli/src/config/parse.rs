//! Parses the command line over the layers below it.

use super::{
    layers::{Config, Origin, Surroundings},
    mask,
};
use crate::{
    args::Cli,
    error::{Error, Result},
    globals::Globals,
};
use clap::{CommandFactory, FromArgMatches, error::ErrorKind, parser::ValueSource};
use std::{collections::BTreeMap, ffi::OsString, sync::Arc};

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
        tell(config, &matches, &mut cli.globals);
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

/// Tells the commands where the database and the API come from.
fn tell(config: Config, matches: &clap::ArgMatches, globals: &mut Globals) {
    let flag = |id: &str, name: &str| {
        let given = matches.value_source(id) == Some(ValueSource::CommandLine);
        given.then(|| Origin::Flag(name.to_owned()))
    };
    let below = |key: &str| config.origin(key).cloned();
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
    globals.config = Arc::new(config);
}

#[cfg(test)]
mod tests;
