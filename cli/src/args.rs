//! What can be written on the command line. The doc comments are the help texts.

use crate::bench::BenchArgs;
use crate::commands::{
    completions::CompletionsArgs, config::ConfigCommand, dead_letter::DeadLetterCommand,
    events::EventsCommand, key::KeyCommand, migrate::MigrateArgs, namespace::NamespaceCommand,
    orchestrator::OrchestratorArgs, prune::PruneArgs, queue::QueueCommand,
    settings::SettingsCommand, step::StepCommand, task::TaskCommand, template::TemplateCommand,
    top::TopArgs, up::UpArgs, worker::WorkerArgs,
};
use crate::globals::Globals;
use clap::{Parser, Subcommand};
use std::sync::OnceLock;

/// A workflow engine on PostgreSQL: tasks of steps, run over message queues.
#[derive(Debug, Parser)]
#[command(name = "tasker", version = version(), arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a demo: real data through real queues, and a report of what the engine did.
    Demo(crate::demo::DemoArgs),
    /// Run everything in one process: PostgreSQL, migrations, an orchestrator, a worker.
    Up(UpArgs),
    /// Install or update schema tasker in the database.
    Migrate(MigrateArgs),
    /// Run an orchestrator; any number may share a database.
    Orchestrator(OrchestratorArgs),
    /// Run a worker with the built-in handlers (noop, sleep, http, sql), or list the workers.
    Worker(WorkerArgs),
    /// Check, apply, and look at templates.
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Enqueue and follow tasks; retry, reset, resolve, and cancel them.
    #[command(subcommand)]
    Task(TaskCommand),
    /// Look at the steps of a task; retry and resolve them.
    #[command(subcommand)]
    Step(StepCommand),
    /// Look at the queues.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Pause, resume, and limit namespaces.
    #[command(subcommand)]
    Namespace(NamespaceCommand),
    /// Look at dead letters, and act on them.
    #[command(subcommand, alias = "dlq")]
    DeadLetter(DeadLetterCommand),
    /// Follow domain events.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Watch queues, workers, and rates.
    Top(TopArgs),
    /// Check whether Tasker can be used; exits with 1 if it cannot.
    Health,
    /// Remove finished tasks and closed dead letters that are older than their retention.
    Prune(PruneArgs),
    /// Show and change the settings of the whole engine: limits, retention, thresholds.
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Show the configuration, and everything that can be configured.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Benchmark this machine: run no-op tasks through an orchestrator and workers.
    Bench(BenchArgs),
    /// Create keys for the HTTP API.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
}

/// The program's version and the schema it works with.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        format!("{}, schema {}", env!("CARGO_PKG_VERSION"), pgtasker_core::schema::version())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    fn kind(line: &str) -> ErrorKind {
        parse(line).map(|_| ()).unwrap_err().kind()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_go_before_and_after_the_command() {
        for line in
            ["tasker --json --database-url u task list", "tasker task list --json --database-url u"]
        {
            let globals = parse(line).unwrap().globals;
            assert!(globals.json);
            assert_eq!(globals.database_url.as_deref(), Some("u"));
        }
    }

    #[test]
    fn a_worker_takes_a_list_of_namespaces() {
        let Command::Worker(args) =
            parse("tasker worker --namespace a,b --namespace c --concurrency 5 --lease 1m")
                .unwrap()
                .command
        else {
            panic!("another command");
        };
        assert_eq!(args.namespace, ["a", "b", "c"]);
        assert_eq!(args.limits.concurrency, 5);
        assert_eq!(args.limits.lease, std::time::Duration::from_secs(60));
        assert_eq!(kind("tasker worker"), ErrorKind::MissingRequiredArgument);
        for lease in ["soon", "0", "0s", "999ms", "2d", "86401", "-1"] {
            let line = format!("tasker worker --namespace a --lease={lease}");
            assert_eq!(kind(&line), ErrorKind::ValueValidation, "{lease}");
            assert!(
                lease == "soon"
                    || lease == "-1"
                    || parse(&line).unwrap_err().to_string().contains("1s to 1d")
            );
        }
        for lease in ["1s", "1d", "30"] {
            assert!(parse(&format!("tasker up --lease {lease}")).is_ok(), "{lease}");
        }
        assert_eq!(kind("tasker worker --namespace a --concurrency 0"), ErrorKind::ValueValidation);
    }

    #[test]
    fn a_dry_run_may_say_all() {
        for line in [
            "tasker dead-letter retry --namespace a --all --dry-run",
            "tasker dead-letter update --status cancelled --all --dry-run",
            "tasker task cancel --namespace a --all --dry-run",
            "tasker task retry --dry-run --all --namespace a",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn who_acts_can_be_said_wherever_it_is_recorded() {
        for line in [
            "tasker template apply a.yaml --by ana",
            "tasker template use shop.order 1 --by ana --reason back",
            "tasker namespace limit shop 5 --by ana --reason full",
            "tasker namespace limit shop --none --by ana",
            "tasker namespace resume shop --by ana --reason mended",
            "tasker prune --by ana",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn enqueue_takes_a_version_and_a_negative_priority() {
        let line = "tasker task enqueue orders.fulfil --version 2 --priority -3 --run-at 5m \
            --wait --timeout 9s";
        let Command::Task(TaskCommand::Enqueue(args)) = parse(line).unwrap().command else {
            panic!("another command");
        };
        assert_eq!(args.template.to_string(), "orders.fulfil");
        assert_eq!(args.version.as_deref(), Some("2"));
        assert_eq!(args.priority, -3);
        assert!(args.wait && args.timeout.is_some());
        // A step is one task's: many tasks' steps would not be what is retried.
        assert_eq!(
            kind("tasker task retry --namespace a --step b --all"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(kind("tasker task enqueue fulfil"), ErrorKind::ValueValidation);
        assert_eq!(
            kind("tasker task enqueue a.b --timeout 9s"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn the_version_names_the_schema_too() {
        assert_eq!(kind("tasker --version"), ErrorKind::DisplayVersion);
        let (_, schema) = version().split_once(", schema ").unwrap();
        assert!(
            schema.starts_with(|c: char| c.is_ascii_digit()) && schema.contains(" (sql "),
            "{schema}"
        );
    }
}
