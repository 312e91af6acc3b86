//! Workers of all languages answer alike: each scenario of `scenarios.yaml` runs with the worker
//! in Rust and with those in Python, TypeScript, and Ruby, which have the same handlers, and what
//! the database then holds must be the same to the byte.
//!
//! `cargo test --workspace --test conformance` runs Rust's alone, against what the scenarios
//! expect; `-- --languages python,typescript,ruby` those of the others too. The program is also
//! Rust's worker: it starts itself with `--role`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answer;
mod args;
mod compare;
#[path = "handlers/rust.rs"]
mod handlers;
mod language;
mod process;
mod rules;
mod scenario;
mod script;
mod web;

use args::Args;
use compare::Answers;
use language::Language;
use pgtasker_core::db::{DbOptions, connect};
use pgtasker_orchestrator::{CONNECTIONS, Orchestrator};
use pgtasker_tests::{TestDb, start_server};
use process::Process;
use scenario::Scenario;
use script::{Place, Ran};
use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::Semaphore,
    task::{JoinSet, LocalSet},
};
use tokio_util::sync::CancellationToken;

/// Scenarios at a time: most of them wait for something.
const AT_ONCE: usize = 6;
/// Many workers of ten connections.
const SETTINGS: &[(&str, &str)] = &[("max_connections", "400")];
/// Beyond what scenarios wait for, so that a worker that is back finds their steps soon.
const SWEEP: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let ended = match args.role.as_deref() {
        Some(role) => handlers::run(role).await,
        None => run(&args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

type Ended = Result<(), Box<dyn std::error::Error>>;

async fn run(args: &Args) -> Ended {
    let all = Scenario::all()?;
    let is_asked = |one: &Scenario| args.only.as_ref().is_none_or(|n| one.name.starts_with(n));
    let scenarios: Vec<Scenario> = all.into_iter().filter(is_asked).collect();
    if scenarios.is_empty() {
        return Err("no scenario has a name that begins so".into());
    }
    let mut languages = vec![Language::rust()];
    for name in &args.languages {
        languages.extend(Language::of(name)?);
    }
    let server = start_server(SETTINGS).await;
    let db = TestDb::on(&server).await;
    sqlx::raw_sql("create table conformance_effects (task_id uuid)").execute(&db.pool).await?;
    let stop = CancellationToken::new();
    let options = DbOptions::new(&db.url, "conformance").max_connections(CONNECTIONS);
    let orchestrator =
        Orchestrator::builder(connect(&options).await?).sweep_interval(SWEEP).build()?;
    let orchestrator = tokio::spawn(orchestrator.run(stop.clone()));
    let gates = std::env::temp_dir().join(format!("conformance-{}", std::process::id()));
    std::fs::create_dir_all(&gates)?;
    let mut by_family = BTreeMap::new();
    for language in &languages {
        by_family.entry(language.family).or_insert_with(|| language.clone());
    }
    let web = web::start().await;
    let place = |language: &Language| Place {
        web: web.clone(),
        pool: db.pool.clone(),
        url: db.url.clone(),
        gates: gates.clone(),
        notes: Default::default(),
        language: language.clone(),
        languages: by_family.clone(),
    };
    let mut failures = 0;
    let mut rust = Answers::new();
    for language in &languages {
        let chosen = |one: &&Scenario| {
            one.is_for(language.family) && (!one.mixed || language.family == "rust")
        };
        let chosen: Vec<Scenario> = scenarios.iter().filter(chosen).cloned().collect();
        let reference = if language.family == "rust" { None } else { Some(&rust) };
        if chosen.is_empty() {
            continue;
        }
        let answers = turn(args, &chosen, &place(language), reference, &mut failures).await?;
        if language.family == "rust" {
            rust = answers;
        }
    }
    let chosen: Vec<Scenario> = scenarios.iter().filter(|one| one.mixed).cloned().collect();
    if by_family.len() == 4 && !chosen.is_empty() {
        let mixed = place(&languages[1].named("all four"));
        turn(args, &chosen, &mixed, Some(&rust), &mut failures).await?;
    }
    std::fs::remove_dir_all(&gates)?;
    stop.cancel();
    orchestrator.await??;
    match failures {
        0 => Ok(()),
        some => Err(format!("{some} answers are not as they should be").into()),
    }
}

/// All scenarios with one language, compared and told.
async fn turn(
    args: &Args,
    scenarios: &[Scenario],
    place: &Place,
    rust: Option<&Answers>,
    failures: &mut usize,
) -> Result<Answers, Box<dyn std::error::Error>> {
    let began = Instant::now();
    let label = &place.language.label;
    // What scenarios wait for is looked at by futures that stay on one thread.
    let answers = LocalSet::new().run_until(answer_all(scenarios, place)).await?;
    let mut good = 0;
    for scenario in scenarios {
        let Ran { answer, log } = &answers[&scenario.name];
        let problem = match rust {
            None => compare::with_expected(scenario, answer),
            Some(rust) => {
                let reference = rust.get(&scenario.name);
                compare::with_reference(scenario, place.language.family, reference, answer)
            }
        };
        if args.show
            && let Ok(answer) = answer
        {
            println!("== {label}: {}\n{answer}", scenario.name);
        }
        match problem {
            None => good += 1,
            Some(problem) => {
                *failures += 1;
                println!("DIFFERENCE: {label}: {}\n{problem}\n{log}\n", scenario.name);
            }
        }
    }
    let as_what = if rust.is_some() { "as Rust" } else { "as expected" };
    let (all, took) = (scenarios.len(), began.elapsed().as_secs_f32());
    println!("conformance: {label}: {good} of {all} scenarios {as_what} ({took:.1} s)");
    Ok(answers)
}

async fn answer_all(
    scenarios: &[Scenario],
    place: &Place,
) -> Result<Answers, Box<dyn std::error::Error>> {
    let word = place.language.word().to_owned();
    let namespace = |n: usize| format!("{word}_{n}");
    for (n, scenario) in scenarios.iter().enumerate() {
        sqlx::query("select * from tasker.apply_template($1)")
            .bind(scenario.template(&namespace(n)))
            .execute(&place.pool)
            .await
            .map_err(|error| format!("{}: {error}", scenario.name))?;
    }
    let shared = scenarios.iter().enumerate().filter(|(_, one)| one.is_shared());
    let shared: Vec<String> = shared.map(|(n, _)| namespace(n)).collect();
    let worker = match shared.is_empty() {
        true => None,
        false => Some(Process::start(&place.language, false, &place.env(&shared), &place.notes)?),
    };
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let mut all: Vec<(usize, Scenario)> = scenarios.iter().cloned().enumerate().collect();
    // Those that take long begin first.
    all.sort_by_key(|(_, scenario)| scenario.is_shared());
    for (n, scenario) in all {
        let (place, namespace, permits) = (place.clone(), namespace(n), Arc::clone(&permits));
        running.spawn_local(async move {
            let _permit = permits.acquire_owned().await.unwrap();
            let ran = script::run(&scenario, &place, &namespace).await;
            (scenario.name, ran)
        });
    }
    let mut answers = Answers::new();
    let mut shared_ended = None;
    let mut worker = worker;
    while let Some(joined) = next(&mut running, worker.as_mut()).await {
        match joined {
            Ok((name, ran)) => drop(answers.insert(name, ran)),
            Err(ended) => {
                shared_ended = Some(ended);
                break;
            }
        }
    }
    if let Some(ended) = shared_ended {
        return Err(ended.into());
    }
    if let Some(mut worker) = worker {
        worker.signal("TERM").await;
        let code = worker.end().await?;
        if code != "0" {
            return Err(format!("the shared worker ended with {code}\n{}", worker.told()).into());
        }
    }
    Ok(answers)
}

type Joined = Result<(String, Ran), String>;

/// The next scenario that is done; an error where the shared worker has ended meanwhile.
async fn next(
    running: &mut JoinSet<(String, Ran)>,
    mut worker: Option<&mut Process>,
) -> Option<Joined> {
    loop {
        match tokio::time::timeout(SWEEP, running.join_next()).await {
            Ok(None) => return None,
            Ok(Some(joined)) => return Some(Ok(joined.unwrap())),
            Err(_) => {
                if let Some(worker) = worker.as_mut()
                    && let Some(code) = worker.ended()
                {
                    let told = worker.told();
                    return Some(Err(format!(
                        "the shared worker has ended with {code}: if it cannot be started, run \
                         .ci/languages build\n{told}"
                    )));
                }
            }
        }
    }
}
