//! What can be said to every command: the database or the API, and the form of the output.

use crate::config::{Config, Origin};
use clap::Args;
use std::{fmt, sync::Arc};

/// Options of every command.
#[derive(Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The database [default: DATABASE_URL, else the server of `tasker up` in this folder].
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The URL of the HTTP API, used instead of the database.
    #[arg(long, global = true, value_name = "URL")]
    pub api: Option<String>,
    /// The key for the HTTP API.
    #[arg(long, global = true, value_name = "KEY")]
    pub api_key: Option<String>,
    /// A `[profiles.NAME]` of the configuration file: an API and its key, or a database.
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// The configuration file [default: ./tasker.toml, else ~/.config/tasker/config.toml].
    #[arg(
        long = "config",
        id = "config",
        global = true,
        value_name = "FILE",
        env = "TASKER_CONFIG",
        hide_env_values = true
    )]
    pub config_file: Option<String>,
    /// PEM file with the CA certificates to trust for the HTTP API [default: those of the system].
    #[arg(long, global = true, value_name = "FILE")]
    pub api_ca: Option<String>,
    /// Allow plain http to another machine, if something else encrypts the connection.
    #[arg(long, global = true)]
    pub api_plain_http: bool,
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where `database_url` comes from.
    #[arg(skip)]
    pub database_origin: Option<Origin>,
    /// Where `api` and `api_key` come from, if both are given.
    #[arg(skip)]
    pub api_origins: Option<(Origin, Origin)>,
    /// What the layers below the command line say.
    #[arg(skip)]
    pub config: Arc<Config>,
}

impl fmt::Debug for Globals {
    /// Without what may hold a password or a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Globals").field("json", &self.json).finish_non_exhaustive()
    }
}
