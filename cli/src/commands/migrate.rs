//! `tasker migrate`: pgmq, the queues, and schema tasker.

use crate::{
    database::Database,
    error::{Error, Result},
    globals::Globals,
    output, progress,
};
use clap::Args;
use pgtasker_core::schema;
use pgtasker_queues::MigrationReport;
use serde_json::{Value, json};
use std::{process::ExitCode, time::Duration};

/// As for a service: in a compose file the database starts at the same time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Options of `tasker migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Print the SQL script of schema tasker for a DBA instead; it says which pgmq it expects.
    #[arg(long)]
    print: bool,
}

/// Installs what is missing or has changed, and says what it did.
pub async fn run(args: MigrateArgs, globals: &Globals) -> Result<ExitCode> {
    if args.print {
        let script = schema::script()?;
        match globals.json {
            true => output::print_json(&json!({"version": schema::version(), "script": script}))?,
            false => output::print(&script)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let pool = Database::resolve(globals)?.connect("tasker migrate", 2, PATIENCE).await?;
    let spinner = progress::spinner("migrating");
    let report = pgtasker_queues::migrate(&pool).await;
    spinner.finish_and_clear();
    let report = report.map_err(|error| Error::from(error).context("nothing was installed"))?;
    match globals.json {
        true => {
            output::print_json(&as_json(&report))?;
            report.schema.warning().iter().for_each(|warning| output::note(warning));
        }
        false => output::print(&report.to_string())?,
    }
    crate::database::close(&pool).await;
    Ok(ExitCode::SUCCESS)
}

fn as_json(report: &MigrationReport) -> Value {
    json!({
        "pgmq": report.pgmq.to_string(),
        "queues_created": report.queues_created,
        "migrations": report.schema.migrations,
        "objects": report.schema.objects,
        "version": report.schema.version,
        "missing_roles": report.schema.missing_roles,
        "create_roles": report.schema.create_roles(),
    })
}
