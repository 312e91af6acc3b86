//! `tasker settings`: what holds for the whole engine, kept in the database.

use crate::{
    error::Result,
    globals::Globals,
    output::{self, Look},
    table::Table,
    who::who,
};
use clap::{Args, Subcommand};
use pgtasker_client::{By, EngineSetting};
use serde_json::json;
use std::process::ExitCode;

/// The commands of `tasker settings`.
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Every setting with its value, its default, and what it does.
    List,
    /// Change a setting, at once and for every process.
    Set(SetArgs),
}

/// Options of `tasker settings set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The setting's name, as in `tasker settings list`.
    name: String,
    /// The new value.
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// Who changes it [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub async fn run(command: SettingsCommand, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    match command {
        SettingsCommand::List => {
            let settings = client.list_settings().await?;
            match globals.json {
                true => output::print_json(&settings)?,
                false => output::print(&table(&settings, Look::stdout()))?,
            }
        }
        SettingsCommand::Set(SetArgs { name, value, by }) => {
            let by = who(by);
            client.set_setting(&name, &value, By { who: by.as_deref(), reason: None }).await?;
            match globals.json {
                true => output::print_json(&json!({"name": name, "value": value}))?,
                false => output::print(&format!("{name} is now {value}"))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(settings: &[EngineSetting], look: Look) -> String {
    let mut table = Table::new(look, &["SETTING", "VALUE", "DEFAULT", "WHAT IT DOES"]);
    for setting in settings {
        let changed = setting.value != setting.default_value;
        table.row([
            setting.name.clone(),
            setting.value.clone().unwrap_or_else(|| "none".to_owned()),
            if changed { setting.default_value.clone().unwrap_or_default() } else { String::new() },
            setting.description.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}
