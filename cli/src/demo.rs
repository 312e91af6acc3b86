//! `tasker demo`: the strikes example from nothing to its reports, and what the engine did for it.

use crate::{
    commands::up,
    config::mask,
    database::{Database, FOLDER},
    error::{Error, Result},
    globals::Globals,
    output::{self, Look},
    progress,
    table::Table,
    units::{grouped, milliseconds},
};
use clap::Args;
use pgtasker_core::db::{DbOptions, connect};
use pgtasker_embedded::Embedded;
use pgtasker_examples::{
    Engine,
    strikes::{self, Progress, Run, Summary},
};
use sqlx::PgPool;
use std::{
    io::IsTerminal,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The whole run; it takes seconds.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two lines of progress, where no bar can be drawn.
const LINE: Duration = Duration::from_secs(1);
/// What a shell reports of a program ended by ctrl-c.
const INTERRUPTED: u8 = 130;

const GRAPH: &str = "  load ─┬─ cost_summary ────┬─ report
        ├─ species_ranking ─┤
        └─ phase_profile ───┘
";

/// Options of `tasker demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "PostgreSQL is started in .tasker of the current folder, unless a database is \
        given."
)]
pub struct DemoArgs {
    /// Keep everything running until ctrl-c, so that you can look at it with psql.
    #[arg(long)]
    keep: bool,
    /// How many of the 640 reports to show.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(0..=640),
    )]
    top: u16,
}

/// Runs the demo. The exit code is 1 when the reports do not agree with the file.
pub async fn run(args: DemoArgs, globals: &Globals) -> Result<ExitCode> {
    let shutdown = pgtasker_core::signals::shutdown()?;
    let Some(started) = shutdown.run_until_cancelled(Database::resolve_or_start(globals)).await
    else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let (url, mut server) = started?;
    let stage = Stage { args: &args, json: globals.json, url: &url, shutdown: &shutdown };
    let result = shutdown.run_until_cancelled(stage.play(server.as_ref())).await;
    let result = match result {
        Some(Ok((engine, summary))) => stage.end(engine, &summary, server.as_mut()).await,
        Some(Err(error)) => Err(error),
        None => Ok(ExitCode::from(INTERRUPTED)),
    };
    if let Some(server) = server {
        server.stop().await?;
    }
    result
}

/// What the parts of the demo have in common.
struct Stage<'a> {
    args: &'a DemoArgs,
    json: bool,
    url: &'a str,
    shutdown: &'a CancellationToken,
}

impl Stage<'_> {
    /// From the migration to the printed figures; the engine runs on.
    async fn play(&self, server: Option<&Embedded>) -> Result<(Engine, Summary)> {
        let pool = connect(&DbOptions::new(self.url, "tasker demo").max_connections(2)).await?;
        let report = pgtasker_queues::migrate(&pool).await?;
        if !self.json {
            let place = match server {
                Some(server) => {
                    format!(
                        "PostgreSQL {} runs in {FOLDER}, port {}",
                        server.version(),
                        server.port()
                    )
                }
                None => format!("using the running PostgreSQL {}", version(&pool).await?),
            };
            let change =
                if report.schema.up_to_date() { "is up to date" } else { "has been installed" };
            output::print(&format!("{place}; schema tasker {change}: {}", report.schema.version))?;
        }
        strikes::install(&pool).await.map_err(explained)?;
        let mut engine = strikes::start(self.url).await.map_err(explained)?;
        let run = engine.run(strikes::enqueue(&pool)).await.map_err(explained)?;
        if !self.json {
            output::print(&announcement(&run))?;
        }
        let summary =
            engine.run(watch(&pool, &run, self.args.top.into())).await.map_err(explained)?;
        match self.json {
            true => output::print_json(&summary)?,
            false => output::print(&self::text(&summary, Look::stdout()))?,
        }
        Ok((engine, summary))
    }

    /// Waits for ctrl-c where that was asked for, and stops the engine.
    async fn end(
        &self,
        mut engine: Engine,
        summary: &Summary,
        server: Option<&mut Embedded>,
    ) -> Result<ExitCode> {
        let mut kept = Ok(());
        if self.args.keep {
            output::note(&hints(&psql(self.url, server.as_deref()), summary));
            let wait = async {
                self.shutdown.cancelled().await;
                Ok(())
            };
            kept = tokio::select! {
                waited = engine.run(wait) => waited.map_err(explained),
                ended = ended(server) => ended,
            };
        }
        if kept.is_ok() {
            engine.stop().await.map_err(explained)?;
        }
        kept?;
        match summary.agrees() {
            true => Ok(ExitCode::SUCCESS),
            false => Err(disagreement(summary)),
        }
    }
}

/// Waits for the run to end, with its progress on standard error, and sums it up.
async fn watch(pool: &PgPool, run: &Run, top: usize) -> pgtasker_examples::Result<Summary> {
    let bar = std::io::stderr().is_terminal().then(progress::steps);
    let mut next_line = Instant::now() + LINE;
    let on_progress = |Progress { tasks, tasks_done, steps, steps_done }| match &bar {
        Some(bar) => {
            bar.set_length(steps);
            bar.set_position(steps_done);
            bar.set_message(format!("{tasks_done} of {tasks} tasks"));
        }
        None if Instant::now() >= next_line => {
            output::note(&format!("{tasks_done} of {tasks} tasks, {steps_done} of {steps} steps"));
            next_line = Instant::now() + LINE;
        }
        None => {}
    };
    let waited = strikes::wait(pool, run, PATIENCE, on_progress).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    waited?;
    strikes::summarize(pool, run, top).await
}

/// An error of the engine keeps its code and its hint.
fn explained(error: pgtasker_examples::Error) -> Error {
    match error {
        pgtasker_examples::Error::Engine(error) => error.into(),
        other => other.into(),
    }
}

fn disagreement(summary: &Summary) -> Error {
    let Summary { total_cost, file_cost, wrong_reports, .. } = summary;
    Error::new(format!(
        "the reports add up to {total_cost} dollars and the file to {file_cost} (it should be \
         {}); {wrong_reports} \
         reports differ from what plain Rust finds in the file",
        strikes::TOTAL_COST
    ))
    .or_hint("this is a defect of Tasker: please report it with this text")
}

async fn version(pool: &PgPool) -> Result<String> {
    Ok(sqlx::query_scalar("select current_setting('server_version')").fetch_one(pool).await?)
}

/// Ends when the PostgreSQL we started ends. Without one, it never ends.
async fn ended(server: Option<&mut Embedded>) -> Result<()> {
    let Some(server) = server else { return std::future::pending().await };
    let log = server.log_path();
    server.ended().await?;
    Err(Error::new("PostgreSQL has ended").or_hint(format!("its log is {}", log.display())))
}

fn announcement(run: &Run) -> String {
    format!(
        "\n{} tasks, one for each airport and year of birdstrikes.csv, each enqueued by\n\n  \
         {};\n\n{GRAPH}",
        run.tasks.len(),
        strikes::ENQUEUE_ONE
    )
}

/// The top reports and the figures.
fn text(summary: &Summary, look: Look) -> String {
    let mut table = Table::new(
        look,
        &["AIRPORT", "YEAR", "STRIKES", "       COST", "SPECIES THAT COST MOST", "RISKIEST PHASE"],
    );
    for report in &summary.top {
        table.row([
            report.airport.clone(),
            report.year.to_string(),
            format!("{:>7}", grouped(report.strikes)),
            format!("{:>11}", format!("${}", grouped(report.cost))),
            report.worst_species.clone(),
            report.riskiest_phase.clone(),
        ]);
    }
    let verdict = match summary.agrees() {
        true => "the file, added up directly, says the same",
        false => "THE FILE SAYS SOMETHING ELSE",
    };
    let Summary { handover_ms: handover, unblock_ms: unblock, .. } = summary;
    format!(
        "{}\n\ntotal cost ${} of {} strikes: {verdict}\n\n\
         {} tasks, {} steps in {}: {} steps/s\n\
         hand-over (a parent's result stored → its child claimed): p50 {}, p95 {}\n\
         \x20 the child was in its queue after p50 {}, p95 {}; the rest is its wait for its turn, \
         as all tasks came at once\n",
        table.render(),
        grouped(summary.total_cost),
        grouped(summary.strikes),
        grouped(summary.tasks),
        grouped(summary.steps),
        milliseconds(summary.elapsed_seconds * 1000.0),
        grouped(summary.steps_per_second.round() as i64),
        milliseconds(handover.p50),
        milliseconds(handover.p95),
        milliseconds(unblock.p50),
        milliseconds(unblock.p95),
    )
}

/// The command that opens the database in psql.
fn psql(url: &str, server: Option<&Embedded>) -> String {
    // The URL of a variable may hold a password that nobody wants on the screen.
    match ["TASKER_DATABASE_URL", "DATABASE_URL"]
        .iter()
        .find(|name| std::env::var(name).is_ok_and(|v| v == url))
    {
        Some(name) => format!("psql \"${name}\""),
        None => match server {
            Some(server) => up::psql_line(server),
            None if pgtasker_embedded::recorded_url(FOLDER).as_deref() == Some(url) => {
                format!("psql '{url}'")
            }
            None => format!("psql '{}'", mask::url(url)),
        },
    }
}

fn hints(psql: &str, summary: &Summary) -> String {
    let run = summary.run;
    format!(
        "the orchestrator and the worker keep running; look inside with\n\n  {psql}\n\n\
         \x20 select * from tasker.task_overview where correlation_id = '{run}' limit 5;\n\
         \x20 select * from tasker.queue_overview;\n\
         \x20 select name, from_state, to_state, attempt, at from tasker.step_transitions\n\
         \x20  where task_id = (select task_id from tasker.task_overview where correlation_id = \
         '{run}' limit 1)\n\
         \x20  order by transition_id;\n\
         \x20 {};\n\n\
         ctrl-c stops everything",
        strikes::ENQUEUE_ONE
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgtasker_examples::strikes::{Percentiles, Report};
    use uuid::Uuid;

    fn summary() -> Summary {
        Summary {
            run: Uuid::nil(),
            tasks: 640,
            steps: 3_200,
            elapsed_seconds: 2.5,
            steps_per_second: 1_280.0,
            handover_ms: Percentiles { p50: 400.2, p95: 1_100.0 },
            unblock_ms: Percentiles { p50: 8.0, p95: 20.0 },
            strikes: 10_000,
            total_cost: strikes::TOTAL_COST,
            file_cost: strikes::TOTAL_COST,
            wrong_reports: 0,
            top: vec![Report {
                airport: "LAGUARDIA NY".to_owned(),
                year: 2001,
                strikes: 12,
                damaging: 3,
                cost: 1_234_567,
                worst_species: "Canada goose".to_owned(),
                riskiest_phase: "Climb".to_owned(),
            }],
        }
    }

    #[test]
    fn the_figures_are_for_people() {
        let text = text(&summary(), Look::PLAIN);
        assert!(text.contains("LAGUARDIA NY  2001       12   $1,234,567  Canada goose"), "{text}");
        assert!(
            text.contains("total cost $40,545,276 of 10,000 strikes: the file, added up"),
            "{text}"
        );
        assert!(text.contains("640 tasks, 3,200 steps in 2.50 s: 1,280 steps/s"), "{text}");
        assert!(text.contains("p50 400 ms, p95 1.10 s"), "{text}");
    }

    #[test]
    fn a_wrong_total_is_an_error_that_names_both() {
        let mut wrong = summary();
        wrong.total_cost += 1;
        assert!(!wrong.agrees());
        assert!(text(&wrong, Look::PLAIN).contains("THE FILE SAYS SOMETHING ELSE"));
        let error = format!("{:?}", disagreement(&wrong));
        assert!(error.contains("40545277") && error.contains("40545276"), "{error}");
    }

    #[test]
    fn a_given_url_is_quoted_for_the_shell_and_shows_no_password() {
        assert_eq!(psql("postgres://u:p@h/db", None), "psql 'postgres://u:***@h/db'");
    }
}
