//! pgtasker-cli: the program `tasker`. Thin: a command calls a function of a library and shows what
//! it returns. Configuration, output, `bench`, and the processes that commands start live here; no
//! other crate uses it. Commands for operators go through [`pgtasker_client::Client`], over the
//! database or the HTTP API.

mod args;
mod bench;
mod client;
mod commands;
mod config;
mod database;
mod demo;
mod error;
mod globals;
mod labels;
mod logging;
mod output;
mod own_key;
mod progress;
mod short_id;
mod steps;
mod table;
mod template_name;
mod trust;
mod units;
mod who;

use args::Cli;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { globals, command } = match config::parse() {
        Ok(cli) => cli,
        Err(error) => return error.tell(),
    };
    let code = match commands::run(command, &globals).await {
        Ok(code) => code,
        Err(error) => error.tell(),
    };
    pgtasker_telemetry::shutdown();
    code
}
