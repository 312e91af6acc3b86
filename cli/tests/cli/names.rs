//! A call has one name: its SQL function's, in Rust, over HTTP, and on the command line.
//!
//! A new call fails here until all four have it, or until a list below says why one has not.

use crate::support::{command, run};
use pgtasker_tests::{ApiServer, TestDb};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

type Names = BTreeSet<String>;
/// Names that stand on one side only, each with its reason.
type Exceptions = &'static [(&'static str, &'static str)];

/// Functions for clients and operators that are no method of `Client`.
const SQL_ONLY: Exceptions = &[
    ("create_queues", "Rust asks for it by the orchestrator, at its start"),
    ("enqueue_tasks", "a free function: over HTTP each task has its own idempotency key"),
    ("grant_namespace", "limits a database login: a DBA calls it in psql"),
    ("installation_problems", "`health` and `migrate` show them"),
    ("revoke_namespace", "as grant_namespace"),
    ("task_results", "the pages of task_result, for results that are too large for one row"),
    ("task_waiting_for", "a column of the view task_overview"),
    ("template_warnings", "part of validate_template"),
    ("unmade_steps", "rows of the view step_dag"),
];
/// Methods of `Client` without a function of their name, with what they show.
const RUST_ONLY: Exceptions = &[
    ("dead_letter_counts", "the view dead_letter_counts"),
    ("health", "whether the schema is there and is this program's"),
    ("list_batches", "the view batch_overview"),
    ("list_namespaces", "the view namespace_overview"),
    ("list_queues", "the view queue_overview"),
    ("list_staleness", "the view task_staleness"),
    ("list_templates", "the view template_overview"),
    ("list_workers", "the view worker_overview"),
    ("show_dead_letter", "the view dead_letter_details"),
    ("show_task", "a row of the view task_overview"),
    ("show_template", "a row of the view template_overview"),
    ("step_transitions", "the view step_audit"),
    ("task_graph", "the views step_overview, step_dag, and batch_overview"),
    ("task_transitions", "the views task_audit and step_audit"),
    ("wait", "asks task_status again and again"),
];
/// Free functions that are no method of `Client`.
const CALLS_ONLY: Exceptions = &[
    ("enqueue_tasks", "see above"),
    ("task_details", "show_task, task_graph, and task_transitions together"),
    ("task_transitions_page", "a page of task_transitions, which the HTTP API gives"),
];
/// Methods of `Client` that are no free function.
const NO_CALL: Exceptions = &[("health", "pgtasker_core::schema::check")];
/// Operations of the HTTP API that are no method of `Client`.
const HTTP_ONLY: Exceptions = &[
    ("follow_system", "a stream of server-sent events, for browsers"),
    ("follow_task", "as follow_system"),
    ("live", "of the process, for what restarts it"),
    ("process_health", "of the process, for who looks at it without a key"),
    ("ready", "of the process, for a load balancer"),
];
/// Methods of `Client` that are no operation of the HTTP API.
const NO_OPERATION: Exceptions = &[("wait", "asks task_status again and again")];
/// Methods of `Client` that are no command, with the commands that call them.
const NO_COMMAND: Exceptions = &[
    ("count_dead_letters", "dead-letter retry --dry-run"),
    ("count_tasks", "task retry --dry-run"),
    ("failure_rates", "top"),
    ("list_batches", "task watch"),
    ("list_events", "events tail"),
    ("list_namespaces", "none: `queue list` shows the queues of each"),
    ("list_staleness", "none: dashboards ask for it"),
    ("slowest_steps", "none: dashboards ask for it"),
    ("task_context", "task show"),
    ("task_graph", "task show"),
    ("task_result", "task show"),
    ("task_status", "task watch"),
    ("task_transitions", "task show --audit"),
    ("throughput", "none: dashboards ask for it"),
    ("wait", "task enqueue --wait"),
];
/// Commands that are no call.
const CLI_ONLY: Exceptions = &[
    ("bench", "measures"),
    ("completions", "of the program itself"),
    ("config reference", "of the program itself"),
    ("config show", "of the program itself"),
    ("demo", "runs an engine"),
    ("events tail", "list_events again and again"),
    ("key new", "needs no server"),
    ("migrate", "installs the SQL"),
    ("orchestrator", "runs one"),
    ("task watch", "task_status again and again"),
    ("top", "list_queues, list_workers, and others again and again"),
    ("up", "runs an engine"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The files of a folder with their texts.
fn files(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap());
    let read = |path: &Path| {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        (stem, std::fs::read_to_string(path).unwrap())
    };
    entries.map(|entry| read(&entry.path())).collect()
}

/// Functions that clients and operators call: the ones in the folders of theirs, and what else
/// these roles may call by the first line of its file, but for the helpers of the views and of
/// metrics.
fn functions() -> Names {
    const HELPERS: [&str; 4] =
        ["batch_results", "live_worker_counts", "open_task_counts", "queue_metrics"];
    let folders = ["client", "operator", "orchestrator", "worker", "consumer"];
    folders
        .iter()
        .flat_map(|folder| files(&format!("sql/api/{folder}")))
        .filter(|(_, text)| {
            let roles = text.lines().next().and_then(|line| line.strip_prefix("-- for: "));
            roles.unwrap_or_default().split(", ").any(|role| matches!(role, "client" | "operator"))
        })
        .map(|(name, _)| name)
        .filter(|name| !HELPERS.contains(&name.as_str()))
        .collect()
}

/// What follows `word` in a text, up to the end of a name.
fn named(text: &str, word: &str) -> Names {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    text.split(word).skip(1).filter_map(|rest| rest.split(is_end).next()).map(Into::into).collect()
}

fn methods() -> Names {
    let source = std::fs::read_to_string(root().join("client/src/client.rs")).unwrap();
    named(source.split("pub trait Client").nth(1).unwrap(), "async fn ")
}

fn calls() -> Names {
    let mut names = Names::new();
    for (_, text) in files("client/src/calls") {
        names.extend(named(&text, "pub async fn "));
        // Those of templates, which core has.
        for list in text.split("pub use pgtasker_core::template::").skip(1) {
            let list = list.split(';').next().unwrap().trim_matches(['{', '}']);
            names.extend(list.split(", ").map(str::to_owned));
        }
    }
    names
}

async fn operations() -> Names {
    let db = TestDb::new().await;
    let api = ApiServer::start(&db.pool).await;
    let mut stream = TcpStream::connect(api.url.trim_start_matches("http://")).await.unwrap();
    let request = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let document: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect()
}

/// The commands that a help text lists.
async fn listed(words: &[&str]) -> Vec<String> {
    let args: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
    let help = run(command(None, &std::env::temp_dir(), &args)).await.ok();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty());
    let first = |line: &str| {
        // Deeper lines go on with an explanation.
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        name.split(' ').next().map(str::to_owned)
    };
    names.filter_map(first).filter(|name| name != "help").collect()
}

/// Every command, as its words.
async fn commands() -> Names {
    let mut all = Names::new();
    for noun in listed(&[]).await {
        let verbs = listed(&[&noun]).await;
        if verbs.is_empty() {
            all.insert(noun.clone());
        }
        all.extend(verbs.iter().map(|verb| format!("{noun} {verb}")));
    }
    all
}

/// Whether a command has a call's name: the verb and the noun, the noun in either number, or what
/// is shown of the noun.
fn is_named(command: &str, call: &str) -> bool {
    let Some((noun, verb)) = command.split_once(' ') else { return command == call };
    let one = noun.replace('-', "_");
    let one = one.trim_end_matches('s');
    [format!("{verb}_{one}"), format!("{verb}_{one}s"), format!("{one}_{verb}")]
        .contains(&call.to_owned())
}

/// Holds that `names` without `others` are the exceptions, which so are never more than needed.
fn assert_only(what: &str, names: &Names, others: &Names, exceptions: Exceptions) {
    let only: BTreeSet<&str> = names.difference(others).map(String::as_str).collect();
    let known: BTreeSet<&str> = exceptions.iter().map(|(name, _)| *name).collect();
    assert_eq!(only, known, "{what}");
}

#[tokio::test]
async fn a_call_has_one_name_everywhere() {
    let (functions, methods, calls) = (functions(), methods(), calls());
    assert!(functions.len() > 30 && methods.len() > 40, "{functions:?} {methods:?}");
    assert_only("SQL without Client", &functions, &methods, SQL_ONLY);
    assert_only("Client without SQL", &methods, &functions, RUST_ONLY);
    assert_only("free functions without Client", &calls, &methods, CALLS_ONLY);
    assert_only("Client without free functions", &methods, &calls, NO_CALL);

    let operations = operations().await;
    assert_only("HTTP without Client", &operations, &methods, HTTP_ONLY);
    assert_only("Client without HTTP", &methods, &operations, NO_OPERATION);

    let commands = commands().await;
    let are_called = |call: &&String| commands.iter().any(|command| is_named(command, call));
    let commanded: Names = methods.iter().filter(are_called).cloned().collect();
    assert_only("Client without a command", &methods, &commanded, NO_COMMAND);
    let calls_one = |command: &&String| methods.iter().any(|call| is_named(command, call));
    let calling: Names = commands.iter().filter(calls_one).cloned().collect();
    assert_only("commands without Client", &commands, &calling, CLI_ONLY);
}
