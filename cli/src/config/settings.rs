//! The settings: which key of the file is which option. The options of clap are their one
//! definition; a new option of a service needs a line here.

use clap::{Arg, ArgAction, Command};
use std::any::TypeId;

/// One setting. Its variable is TASKER_ and its key in upper case.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`, or `key` alone at the top of the file.
    pub key: &'static str,
    /// The commands that have the option, "" for all, and clap's id of it.
    pub options: &'static [(&'static str, &'static str)],
    /// An example value as in the file, for the reference, if there is no default.
    pub example: &'static str,
    /// Masked wherever it is shown.
    pub secret: bool,
}

/// What a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    Number,
    /// Texts in brackets.
    List,
    Text,
}

/// Clap's id of the option and the commands of [`Setting::options`], in the order of the reference.
pub const SETTINGS: &[Setting] = &[
    text("profile", &[("", "profile")], "\"production\""),
    text("api", &[("", "api")], "\"https://tasker.example.com\""),
    secret("api_key", &[("", "api_key")], "\"…\""),
    text("api_ca", &[("", "api_ca")], "\"/etc/tasker/ca.pem\""),
    text("api_plain_http", &[("", "api_plain_http")], ""),
    secret(
        "database.url",
        &[("", "database_url")],
        "\"postgres://user:password@host:5432/database\"",
    ),
    text(
        "database.poll_only",
        &[("orchestrator", "poll_only"), ("worker", "poll_only"), ("up", "poll_only")],
        "",
    ),
    text(
        "database.poll_interval",
        &[("orchestrator", "poll_interval"), ("worker", "poll_interval"), ("up", "poll_interval")],
        "",
    ),
    text(
        "database.stalled_after",
        &[("orchestrator", "stalled_after"), ("worker", "stalled_after"), ("up", "stalled_after")],
        "",
    ),
    text("orchestrator.batch_size", &[("orchestrator", "batch_size")], ""),
    text(
        "orchestrator.metrics",
        &[("orchestrator", "metrics"), ("up", "metrics")],
        "\"127.0.0.1:9187\"",
    ),
    text("http.listen", &[("orchestrator", "http"), ("up", "http")], "\"127.0.0.1:8410\""),
    text(
        "http.tls_cert",
        &[("orchestrator", "http_tls_cert"), ("up", "http_tls_cert")],
        "\"/etc/tasker/cert.pem\"",
    ),
    text(
        "http.tls_key",
        &[("orchestrator", "http_tls_key"), ("up", "http_tls_key")],
        "\"/etc/tasker/key.pem\"",
    ),
    text(
        "http.keys",
        &[("orchestrator", "http_keys"), ("up", "http_keys")],
        "\"/etc/tasker/keys.toml\"",
    ),
    text(
        "http.jwks",
        &[("orchestrator", "http_jwks"), ("up", "http_jwks")],
        "\"https://login.example.com/jwks.json\"",
    ),
    text("http.open", &[("orchestrator", "http_open"), ("up", "http_open")], ""),
    text(
        "http.jwt_issuer",
        &[("orchestrator", "http_jwt_issuer"), ("up", "http_jwt_issuer")],
        "\"https://login.example.com\"",
    ),
    text(
        "http.jwt_audience",
        &[("orchestrator", "http_jwt_audience"), ("up", "http_jwt_audience")],
        "\"tasker\"",
    ),
    text(
        "http.max_body_bytes",
        &[("orchestrator", "http_max_body_bytes"), ("up", "http_max_body_bytes")],
        "",
    ),
    text(
        "http.request_timeout",
        &[("orchestrator", "http_request_timeout"), ("up", "http_request_timeout")],
        "",
    ),
    text("worker.namespace", &[("worker", "namespace")], "[\"orders\", \"billing\"]"),
    text("worker.concurrency", &[("worker", "concurrency"), ("up", "concurrency")], ""),
    text("worker.connections", &[("worker", "connections"), ("up", "connections")], ""),
    text("worker.lease", &[("worker", "lease"), ("up", "lease")], ""),
    text("worker.grace", &[("worker", "grace"), ("up", "grace")], ""),
    text("worker.metrics", &[("worker", "metrics")], "\"127.0.0.1:9188\""),
    text("log.format", &[("orchestrator", "log"), ("worker", "log"), ("up", "log")], ""),
];

/// Options of the services that are no settings: what is asked for in one call only, or says where
/// the settings are.
#[cfg(test)]
pub const NO_SETTINGS: &[&str] = &["config", "json", "no_worker", "help", "version"];

/// Variables that are no settings: read by libraries and tests.
pub const OTHER_VARIABLES: &[&str] = &[
    "TASKER_CONFIG",
    "TASKER_PG_BIN",
    "TASKER_HTTP_ALLOW",
    "TASKER_HTTP_PROXY",
    "TASKER_SQL_ALLOW",
    "TASKER_SECRETS_FOLDER",
    "TASKER_FAILPOINT",
    "TASKER_LATE",
    "TASKER_MODEL_CASES",
    "TASKER_REQUIRE_PGBOUNCER",
];

/// What a `[profiles.NAME]` may set.
pub const PROFILE: &[&str] = &["api", "api_key", "api_ca", "database_url"];

const fn text(
    key: &'static str,
    options: &'static [(&'static str, &'static str)],
    example: &'static str,
) -> Setting {
    Setting { key, options, example, secret: false }
}

const fn secret(
    key: &'static str,
    options: &'static [(&'static str, &'static str)],
    example: &'static str,
) -> Setting {
    Setting { key, options, example, secret: true }
}

impl Setting {
    /// The setting of this key.
    pub fn of(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    pub fn variable(&self) -> String {
        format!("TASKER_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The section and the key in it.
    pub fn place(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or(("", self.key))
    }

    /// Its option, as the first command that has it defines it.
    ///
    /// # Panics
    /// If it has none, which a test rules out.
    pub fn option<'a>(&self, program: &'a Command) -> &'a Arg {
        let (command, id) = self.options[0];
        option(program, command, id).expect("every setting is an option")
    }

    /// What it holds.
    pub fn kind(&self, program: &Command) -> Kind {
        let option = self.option(program);
        let of = option.get_value_parser().type_id();
        let numbers =
            [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
        match option.get_action() {
            ArgAction::SetTrue => Kind::Switch,
            ArgAction::Append => Kind::List,
            _ if numbers.iter().any(|number| of == *number) => Kind::Number,
            _ => Kind::Text,
        }
    }
}

/// An option by its command ("": the program itself) and clap's id.
pub fn option<'a>(program: &'a Command, command: &str, id: &str) -> Option<&'a Arg> {
    let command = match command {
        "" => program,
        name => program.find_subcommand(name)?,
    };
    command.get_arguments().find(|option| option.get_id() == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_option_of_the_services_is_a_setting_or_said_not_to_be_one() {
        let program = Cli::command();
        let globals = program.get_arguments().map(|option| ("", option));
        let services = ["orchestrator", "worker", "up"].into_iter().flat_map(|name| {
            program.find_subcommand(name).unwrap().get_arguments().map(move |option| (name, option))
        });
        let missing: Vec<String> = globals
            .chain(services)
            .filter(|(command, option)| {
                let id = option.get_id().as_str();
                let is_setting =
                    SETTINGS.iter().any(|setting| setting.options.contains(&(*command, id)));
                !is_setting && !NO_SETTINGS.contains(&id)
            })
            .map(|(command, option)| {
                format!("{command} --{}", option.get_long().unwrap_or_default())
            })
            .collect();
        assert!(
            missing.is_empty(),
            "add them to SETTINGS in cli/src/config/settings.rs: {}",
            missing.join(", ")
        );
    }

    #[test]
    fn every_setting_is_an_option_of_the_same_kind_wherever_it_is_one() {
        let program = Cli::command();
        for setting in SETTINGS {
            for (command, id) in setting.options {
                let option = option(&program, command, id)
                    .unwrap_or_else(|| panic!("{}: {command} has no {id}", setting.key));
                let first = setting.option(&program);
                assert_eq!(
                    option.get_default_values(),
                    first.get_default_values(),
                    "{}",
                    setting.key
                );
                assert_eq!(option.get_value_parser().type_id(), first.get_value_parser().type_id());
            }
        }
        let mut keys: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), SETTINGS.len());
    }

    #[test]
    fn a_variable_has_the_name_of_its_key() {
        assert_eq!(
            Setting::of("worker.concurrency").unwrap().variable(),
            "TASKER_WORKER_CONCURRENCY"
        );
        assert_eq!(Setting::of("api_key").unwrap().variable(), "TASKER_API_KEY");
        assert_eq!(Setting::of("database.url").unwrap().variable(), "TASKER_DATABASE_URL");
    }
}
