//! The layers, without processes.

use super::*;
use crate::{
    args::Command as Sub,
    config::{SETTINGS, file::File, reference},
};
use std::{path::Path, time::Duration};

/// A command line, with variables and a file in a folder of its own.
fn run(line: &str, variables: &[(&str, &str)], file: &str) -> Result<Cli> {
    let folder =
        std::env::temp_dir().join(format!("tasker-config-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("c.toml");
    std::fs::write(&path, file).unwrap();
    let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let mut variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    variables.entry("TASKER_CONFIG".to_owned()).or_insert(path.display().to_string());
    let parsed = try_parse(&Surroundings { arguments: &arguments, variables });
    std::fs::remove_dir_all(folder).unwrap();
    parsed.map(|parsed| parsed.unwrap_or_else(|error| panic!("{error}")))
}

fn refusal(line: &str, variables: &[(&str, &str)], file: &str) -> String {
    run(line, variables, file).unwrap_err().message().to_owned()
}

fn database(line: &str, variables: &[(&str, &str)], file: &str) -> (Option<String>, String) {
    let globals = run(line, variables, file).unwrap().globals;
    let origin = globals.database_origin.map(|origin| origin.to_string()).unwrap_or_default();
    (globals.database_url, origin.rsplit('/').next().unwrap_or_default().to_owned())
}

#[test]
fn everything_that_the_file_says_arrives_in_every_service() {
    let file = "[database]\nurl = \"u\"\npoll_only = true\npoll_interval \
        = \"7s\"\n[worker]\nnamespace = [\"a\", \"b\"]\nconcurrency = 5\n\
                connections = 9\nlease = \"1m\"\ngrace = \"3s\"\nmetrics = \"127.0.0.1:2\"\n\
                [orchestrator]\nbatch_size = 7\nmetrics = \"127.0.0.1:1\"\n[log]\nformat \
                = \"json\"\n";
    let Sub::Worker(worker) = run("tasker worker", &[], file).unwrap().command else { panic!() };
    assert_eq!(worker.namespace, ["a", "b"]);
    assert_eq!((worker.limits.concurrency, worker.limits.connections), (5, 9));
    assert_eq!(
        (worker.limits.lease, worker.limits.grace),
        (Duration::from_secs(60), Duration::from_secs(3))
    );
    let debug = format!("{worker:?}");
    for text in ["poll_only: true", "poll_interval: 7s", "127.0.0.1:2", "log: Json"] {
        assert!(debug.contains(text), "{text}: {debug}");
    }
    let orchestrator = run("tasker orchestrator", &[], file).unwrap();
    let debug = format!("{:?}", orchestrator.command);
    for text in
        ["batch_size: 7", "poll_only: true", "poll_interval: 7s", "127.0.0.1:1", "log: Json"]
    {
        assert!(debug.contains(text), "{text}: {debug}");
    }
    assert_eq!(orchestrator.globals.database_url.as_deref(), Some("u"));
    let debug = format!("{:?}", run("tasker up", &[], file).unwrap().command);
    for text in ["concurrency: 5", "lease: 60s", "poll_only: true", "127.0.0.1:1", "log: Json"] {
        assert!(debug.contains(text), "{text}: {debug}");
    }
}

#[test]
fn flags_go_before_variables_and_those_before_the_file() {
    let file = "[worker]\nnamespace = [\"a\"]\nconcurrency = 5\n";
    let concurrency = |line: &str, variables: &[(&str, &str)], file: &str| {
        let Sub::Worker(worker) = run(line, variables, file).unwrap().command else { panic!() };
        worker.limits.concurrency
    };
    let variable = [("TASKER_WORKER_CONCURRENCY", "6")];
    // Clap reads variables from the process itself: cli/tests/cli/config.rs has them.
    assert_eq!(concurrency("tasker worker --namespace a", &[], ""), 64);
    assert_eq!(concurrency("tasker worker", &[], file), 5);
    assert_eq!(concurrency("tasker worker --concurrency 7", &variable, file), 7);
    assert_eq!(
        database("tasker config show", &[], "[database]\nurl = \"f\""),
        (Some("f".into()), "c.toml:2".into())
    );
    let flag = database("tasker config show --database-url d", &[], "[database]\nurl = \"f\"");
    assert_eq!(flag, (Some("d".into()), "--database-url".into()));
}

#[test]
fn unknown_keys_are_refused_with_their_line_and_what_may_be_meant() {
    for (file, wanted) in [
        (
            "[worker]\nconcurency = 5\n",
            "c.toml:2: there is no setting worker.concurency: did you mean worker.concurrency?",
        ),
        (
            "\n[wroker]\nconcurrency = 5\n",
            "c.toml:2: there is no section [wroker]: did you mean worker?",
        ),
        (
            "concurrency = 5\n",
            "c.toml:1: there is no setting concurrency: did you mean worker.concurrency?",
        ),
        ("[orchestrator]\nlease = \"1s\"\n", "did you mean worker.lease?"),
        ("[database]\npassword = \"x\"\n", "c.toml:2: there is no setting database.password"),
        ("[profiles.p]\nurl = \"x\"\n", "a profile has no url"),
        (
            "[profiles.p]\napi = \"x\"\ndatabase_url = \"y\"\n",
            "profiles.p has both api and database_url",
        ),
        ("a = = 1\n", "c.toml:1: "),
    ] {
        let text = refusal("tasker config show", &[], file);
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn wrong_values_are_refused_with_their_line_and_what_they_must_be() {
    for (line, wanted) in [
        (
            "[worker]\nconcurrency = \"5\"",
            "c.toml:2: worker.concurrency: it must be a whole number, without quotes, not a text",
        ),
        ("[worker]\nconcurrency = 0", "c.toml:2: worker.concurrency: 0 is not in 1..=10000"),
        ("[worker]\nconcurrency = 1.5", "not a number with a fraction"),
        ("[worker]\nnamespace = \"a\"", "it must be a list of texts"),
        ("[worker]\nnamespace = [1]", "it must be a list of texts"),
        (
            "[worker]\nlease = \"soon\"",
            "worker.lease: \"soon\" is not a duration: write it as 500ms",
        ),
        (
            "[database]\npoll_only = \"yes\"",
            "database.poll_only: it must be true or false, not a text",
        ),
        ("[log]\nformat = \"xml\"", "log.format: \"xml\": it must be one of: json, human"),
        ("[worker]\nmetrics = \"here\"", "worker.metrics: \"here\": invalid socket address syntax"),
    ] {
        let text = refusal("tasker config show", &[], line);
        assert!(text.contains(wanted), "{text}");
    }
    let two = refusal("tasker task list", &[], "[worker]\nlease = 1\ngrace = 2\n");
    assert!(two.contains("c.toml:2") && two.contains("c.toml:3"), "{two}");
    let variable = refusal("tasker worker", &[("TASKER_WORKER_CONCURRENCY", "many")], "");
    assert!(
        variable.contains("TASKER_WORKER_CONCURRENCY: \"many\": it must be a whole number"),
        "{variable}"
    );
    let missing = refusal("tasker task list --config /nowhere/c.toml", &[], "");
    assert!(missing.contains("cannot read /nowhere/c.toml"), "{missing}");
}

#[test]
fn a_broken_file_keeps_nobody_from_the_reference() {
    let broken = "[worker]\nconcurency = 5\n";
    assert!(run("tasker config reference", &[], broken).is_ok());
    assert!(run("tasker completions bash", &[], broken).is_ok());
    assert!(run("tasker migrate", &[], broken).is_err());
}

#[test]
fn a_profile_stands_where_it_was_chosen() {
    let file = "[database]\nurl = \"f\"\n[profiles.live]\napi = \"http://a\"\napi_key \
        = \"k\"\n[profiles.test]\ndatabase_url = \"t\"\n";
    let globals =
        run("tasker task list --profile live", &[("DATABASE_URL", "e")], file).unwrap().globals;
    assert_eq!((globals.api.as_deref(), globals.api_key.as_deref()), (Some("http://a"), Some("k")));
    assert_eq!(globals.database_url, None);
    let found = database("tasker task list --profile=test", &[("DATABASE_URL", "e")], file);
    assert_eq!(found, (Some("t".into()), "profile test".into()));
    let chosen = [("TASKER_PROFILE", "test")];
    assert_eq!(
        database("tasker task list", &chosen, file),
        (Some("t".into()), "profile test".into())
    );
    let by_flag = database("tasker task list --database-url d", &chosen, file);
    assert_eq!(by_flag, (Some("d".into()), "--database-url".into()));
    let in_file = database("tasker task list", &[], &format!("profile = \"test\"\n{file}"));
    assert_eq!(in_file, (Some("t".into()), "profile test".into()));
    let unknown = refusal("tasker task list --profile tset", &[], file);
    assert!(
        unknown.contains("there is no profile tset") && unknown.contains("did you mean test?"),
        "{unknown}"
    );
    let api = run("tasker task list --profile live --database-url d", &[], file).unwrap().globals;
    assert_eq!((api.api, api.database_url.as_deref()), (None, Some("d")));
}

#[test]
fn every_line_of_the_reference_is_a_setting_that_can_be_set() {
    let text = reference::file(&Cli::command());
    let lines = text.lines().map(|line| {
        let setting = line.strip_prefix("# ").filter(|rest| {
            let key = rest.split(" = ").next().unwrap_or_default();
            rest.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                || rest.starts_with('[')
        });
        setting.unwrap_or(line)
    });
    let set: String = lines.map(|line| format!("{line}\n")).collect();
    let file = File::parse(Path::new("reference"), &set, &Cli::command())
        .unwrap_or_else(|error| panic!("{error:?}: {set}"));
    assert_eq!(file.values.len(), SETTINGS.len(), "{set}");
    assert_eq!(file.profiles.len(), 2);
    assert!(File::parse(Path::new("reference"), &text, &Cli::command()).unwrap().values.is_empty());
}

#[test]
fn the_page_is_the_reference() {
    let page = include_str!("../../../../docs/configuration.md");
    assert!(
        page == reference::page(&Cli::command()),
        "docs/configuration.md is not what the options say: cargo run -- config reference \
         --markdown > docs/configuration.md"
    );
}

#[test]
fn no_debug_form_shows_a_secret() {
    let file = "api_key = \"hush\"\n[database]\nurl = \"postgres://u:hush@h/d\"\n";
    let cli = run("tasker task list", &[], file).unwrap();
    assert!(cli.globals.database_url.is_some());
    assert!(!format!("{cli:?}").contains("hush"));
    let database = crate::database::Database::named(&cli.globals).unwrap();
    assert!(!format!("{database:?}").contains("hush"));
}
