//! `tasker config`: what is configured, and what can be.

use crate::{
    args::Cli,
    config::{
        Origin, SETTINGS, Setting,
        mask::{self, MASK},
        reference,
    },
    database::Database,
    error::Result,
    globals::Globals,
    output::{self, Look},
    table::Table,
};
use clap::{Args, Command, CommandFactory, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// The commands on the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with its value and its source; secrets are masked.
    Show,
    /// Print a configuration file with every setting, its meaning, and its default.
    Reference(ReferenceArgs),
}

/// Options of `tasker config reference`.
#[derive(Debug, Args)]
pub struct ReferenceArgs {
    /// Print the page of the documentation instead.
    #[arg(long)]
    markdown: bool,
}

pub fn run(command: ConfigCommand, globals: &Globals) -> Result<ExitCode> {
    match command {
        ConfigCommand::Show => show(globals)?,
        ConfigCommand::Reference(args) if args.markdown => {
            output::print(&reference::page(&Cli::command()))?;
        }
        ConfigCommand::Reference(_) => output::print(&reference::file(&Cli::command()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(globals: &Globals) -> Result<()> {
    let program = Cli::command();
    let rows: Vec<(&Setting, Option<String>, String)> =
        SETTINGS.iter().map(|setting| row(setting, &program, globals)).collect();
    let file = globals.config.file.as_ref().map(|path| path.display().to_string());
    if globals.json {
        let settings: Vec<_> = rows
            .iter()
            .map(|(setting, value, source)| {
                json!({
                    "key": setting.key,
                    "value": value,
                    "source": source,
                    "variable": setting.variable(),
                })
            })
            .collect();
        return output::print_json(
            &json!({"file": file, "profiles": globals.config.profiles, "settings": settings}),
        );
    }
    let mut table = Table::new(Look::stdout(), &["SETTING", "VALUE", "SOURCE"]);
    for (setting, value, source) in rows {
        table.row([setting.key.to_owned(), value.unwrap_or_default(), source]);
    }
    let file = file.unwrap_or_else(|| "none".to_owned());
    let profiles = match globals.config.profiles.as_slice() {
        [] => String::new(),
        names => format!("profiles: {}\n", names.join(", ")),
    };
    output::print(&format!("configuration file: {file}\n{profiles}\n{}", table.render()))
}

/// A setting, its value as people may see it, and where it comes from.
fn row<'s>(
    setting: &'s Setting,
    program: &Command,
    globals: &Globals,
) -> (&'s Setting, Option<String>, String) {
    let (texts, source) = match (flag(setting.key, globals), globals.config.value(setting)) {
        (Some((text, origin)), _) => (vec![text], origin.to_string()),
        // A database was named closer to the command.
        (None, Some((texts, origin))) if setting.key == "api" && globals.api.is_none() => {
            (texts.to_vec(), format!("{origin}, not used: the database takes precedence"))
        }
        (None, Some((texts, origin))) => (texts.to_vec(), origin.to_string()),
        // What `tasker up` runs in this folder.
        (None, None) if setting.key == "database.url" => match Database::resolve(globals) {
            Ok(database) => (vec![database.url], database.source.to_string()),
            Err(_) => (Vec::new(), "default".to_owned()),
        },
        (None, None) => {
            let defaults = setting.option(program).get_default_values();
            let texts = defaults.iter().map(|text| text.to_string_lossy().into_owned()).collect();
            (texts, "default".to_owned())
        }
    };
    let value = (!texts.is_empty()).then(|| texts.join(","));
    let value = value.map(|value| match setting.secret {
        true if value.contains("://") => mask::url(&value),
        true => MASK.to_owned(),
        false => mask::url(&value),
    });
    (setting, value, source)
}

/// What the command line itself says, of the options that every command has.
fn flag(key: &str, globals: &Globals) -> Option<(String, Origin)> {
    let (value, name) = match key {
        "database.url" => (globals.database_url.clone(), "--database-url"),
        "api" => (globals.api.clone(), "--api"),
        "api_key" => (globals.api_key.clone(), "--api-key"),
        "api_ca" => (globals.api_ca.clone(), "--api-ca"),
        "api_plain_http" => (globals.api_plain_http.then(|| true.to_string()), "--api-plain-http"),
        "profile" => (globals.profile.clone(), "--profile"),
        _ => return None,
    };
    let below = globals.config.value(Setting::of(key)?).map(|(texts, _)| texts);
    let value = value?;
    (below != Some(std::slice::from_ref(&value))).then(|| (value, Origin::Flag(name.to_owned())))
}
