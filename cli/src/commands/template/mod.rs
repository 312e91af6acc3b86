//! `tasker template`: check, apply, use, list, show.

mod files;

use crate::{
    error::{Error, Result},
    globals::Globals,
    output::{self, Look},
    table::Table,
    template_name::TemplateName,
    units::{local, relative},
    who::who,
};
use chrono::Utc;
use clap::{Args, Subcommand, ValueHint};
use pgtasker_client::{Applied, By, Client, Template, TemplateOverview};
use pgtasker_core::template::{Diagnostic, Position, TemplateFile};
use serde::Serialize;
use serde_json::Value;
use std::process::ExitCode;

/// The commands of `tasker template`.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Check the files, then apply their templates to the database: each becomes the version that
    /// runs.
    Apply(ApplyArgs),
    /// Every version of every template.
    List(ListArgs),
    /// One template.
    Show(ShowArgs),
    /// Choose the applied version that runs when an enqueue names no version.
    Use(UseArgs),
    /// Check the files: prints file:line:column: message [code] for every problem.
    Validate(FileArgs),
}

/// Files with templates.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Templates in YAML or JSON; - is standard input. A folder stands for its .yaml and .yml
    /// files, in the order of their versions.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<String>,
}

/// Options of `tasker template apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Who applies them [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Options of `tasker template list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only in this namespace.
    #[arg(long)]
    namespace: Option<String>,
}

/// Options of `tasker template show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The template.
    #[arg(value_name = "NAMESPACE.NAME")]
    template: TemplateName,
    /// The version [default: the current one (applied or used last)].
    #[arg(long)]
    version: Option<String>,
}

/// Which version is to run.
#[derive(Debug, Args)]
pub struct UseArgs {
    /// The template (NAMESPACE.NAME or NAMESPACE NAME), and one of its versions.
    #[arg(required = true, num_args = 2..=3, value_names = ["NAMESPACE.NAME", "VERSION"])]
    words: Vec<String>,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who chooses it [default: the user of this machine].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub async fn run(command: TemplateCommand, globals: &Globals) -> Result<ExitCode> {
    match command {
        TemplateCommand::Apply(args) => apply(args, globals).await,
        TemplateCommand::List(args) => list(args, globals).await,
        TemplateCommand::Show(args) => show(args, globals).await,
        TemplateCommand::Use(args) => use_version(args, globals).await,
        TemplateCommand::Validate(args) => validate(args, globals).await,
    }
}

/// A file of the command line, as far as it could be read.
struct Input {
    name: String,
    parsed: Option<TemplateFile>,
    problems: Vec<Diagnostic>,
    /// What is valid but probably not meant.
    warnings: Vec<Diagnostic>,
}

/// What `template validate --json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    problems: Vec<&'a Diagnostic>,
    warnings: Vec<&'a Diagnostic>,
}

/// What `template apply --json` prints for each file.
#[derive(Serialize)]
struct AppliedFile<'a> {
    file: &'a str,
    namespace: &'a str,
    name: &'a str,
    version: &'a str,
    #[serde(flatten)]
    applied: Applied,
    warnings: &'a [Diagnostic],
}

async fn validate(args: FileArgs, globals: &Globals) -> Result<ExitCode> {
    let mut inputs = files::read_all(&args.files)?;
    // Not even YAML: then no database has to be asked.
    if inputs.iter().any(|input| input.parsed.is_some()) {
        check_all(&*globals.client().await?, &mut inputs).await?;
    }
    if globals.json {
        let problems = inputs.iter().flat_map(|input| &input.problems).collect();
        let warnings = inputs.iter().flat_map(|input| &input.warnings).collect();
        output::print_json(&Checked { problems, warnings })?;
        return refuse(&inputs).map(|()| ExitCode::SUCCESS);
    }
    for input in &inputs {
        for problem in &input.problems {
            output::print(&output::safe(&problem.to_string()))?;
        }
        warn(input);
        if let (Some(file), true) = (&input.parsed, input.problems.is_empty()) {
            output::print(&format!("{}: {} is valid", input.name, title(file)))?;
        }
    }
    refuse(&inputs).map(|()| ExitCode::SUCCESS)
}

async fn apply(args: ApplyArgs, globals: &Globals) -> Result<ExitCode> {
    let mut inputs = files::read_all(&args.files.files)?;
    let by = who(args.by);
    let by = By { who: by.as_deref(), reason: None };
    let client = globals.client().await?;
    check_all(&*client, &mut inputs).await?;
    for problem in inputs.iter().flat_map(|input| &input.problems) {
        output::note(&problem.to_string());
    }
    refuse(&inputs).map_err(|error| error.or_hint("nothing was applied"))?;
    let mut done = Vec::new();
    let mut result = Ok(ExitCode::SUCCESS);
    for input in &inputs {
        let Some(file) = &input.parsed else { continue };
        match client.apply_template(file.definition(), by).await {
            Ok(applied) => {
                if !globals.json {
                    output::print(&outcome(&applied, &title(file)))?;
                    warn(input);
                }
                let [namespace, name, version] = identity(file);
                done.push(AppliedFile {
                    file: file.name(),
                    namespace,
                    name,
                    version,
                    applied,
                    warnings: &input.warnings,
                });
            }
            Err(error) => {
                result = Err(Error::from(error).context(file.name()));
                break;
            }
        }
    }
    if globals.json {
        output::print_json(&done)?;
    }
    result
}

async fn check_all(client: &dyn Client, inputs: &mut [Input]) -> Result<()> {
    for input in inputs {
        if let Some(file) = &input.parsed {
            let (problems, warnings) =
                client.validate_template(file.definition()).await?.locate(file);
            input.problems.extend(problems);
            input.warnings = warnings;
        }
    }
    Ok(())
}

/// On standard error: what is there keeps nothing from being applied.
fn warn(input: &Input) {
    for warning in &input.warnings {
        let Diagnostic { file, position: Position { line, column }, message, code, .. } = warning;
        output::note(&format!("{file}:{line}:{column}: warning: {message} [{code}]"));
    }
}

fn refuse(inputs: &[Input]) -> Result<()> {
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let problems: usize = inputs.iter().map(|input| input.problems.len()).sum();
    let files = inputs.iter().filter(|input| !input.problems.is_empty()).count();
    match problems {
        0 => Ok(()),
        n => Err(Error::new(format!("{} in {}", many(n, "problem"), many(files, "file")))),
    }
}

/// Namespace, name, and version; a file that is valid has all three.
fn identity(file: &TemplateFile) -> [&str; 3] {
    ["namespace", "name", "version"]
        .map(|key| file.definition().get(key).and_then(Value::as_str).unwrap_or_default())
}

/// `orders.fulfil 1.0.0`.
fn title(file: &TemplateFile) -> String {
    let [namespace, name, version] = identity(file);
    // Not checked yet: it may be anything.
    output::safe(&format!("{namespace}.{name} {version}")).into_owned()
}

/// What applying a template, or using it, has changed.
fn outcome(applied: &Applied, title: &str) -> String {
    match (applied.created, &applied.was) {
        (true, Some(was)) => format!("applied {title}, current now (was {was})"),
        (true, None) => format!("applied {title}"),
        (false, Some(was)) => format!("current again: {title} (was {was})"),
        (false, None) => format!("unchanged, applied before: {title}"),
    }
}

async fn use_version(args: UseArgs, globals: &Globals) -> Result<ExitCode> {
    let (version, name) = args.words.split_last().ok_or_else(|| Error::new("which template?"))?;
    let template: TemplateName = name.join(".").parse().map_err(Error::new)?;
    let TemplateName { namespace, name } = &template;
    let who = who(args.by);
    let by = By { who: who.as_deref(), reason: args.reason.as_deref() };
    let applied = globals.client().await?.use_template(namespace, name, version, by).await?;
    if globals.json {
        output::print_json(&applied)?;
    } else if applied.was.is_none() {
        output::print(&format!("unchanged, current before: {template} {version}"))?;
    } else {
        output::print(&outcome(&applied, &format!("{template} {version}")))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    let templates = client.list_templates(args.namespace.as_deref()).await?;
    if globals.json {
        output::print_json(&templates)?;
    } else if templates.is_empty() {
        output::note("no templates yet: tasker template apply FILE");
    } else {
        output::print(&list_table(&templates, Look::stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list_table(templates: &[TemplateOverview], look: Look) -> String {
    let mut table = Table::new(look, &["TEMPLATE", "VERSION", "CURRENT", "STEPS", "FIRST APPLIED"])
        .wrap_from(5)
        .keep(3);
    for template in templates {
        table.row([
            format!("{}.{}", template.namespace, template.name),
            template.version.clone(),
            if template.current { "yes".to_owned() } else { String::new() },
            template.steps.to_string(),
            relative(template.created_at, Utc::now()),
        ]);
    }
    table.render()
}

async fn show(args: ShowArgs, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    let TemplateName { namespace, name } = &args.template;
    let version = args.version.as_deref();
    let Some(template) = client.show_template(namespace, name, version).await? else {
        let version = version.map(|version| format!(" version {version:?} of")).unwrap_or_default();
        return Err(Error::new(format!("there is no{version} template {}", args.template))
            .or_hint("`tasker template list` shows all"));
    };
    match globals.json {
        true => output::print_json(&template)?,
        false => output::print(&show_text(&template, Look::stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show_text(template: &Template, look: Look) -> String {
    let Template { overview, definition } = template;
    let text = |key: &str| definition.get(key).and_then(Value::as_str);
    let mut head = Table::pairs(look);
    head.row(["template", &format!("{}.{}", overview.namespace, overview.name)]);
    let current = if overview.current { " (current)" } else { "" };
    head.row(["version", &format!("{}{current}", overview.version)]);
    if let Some(description) = text("description") {
        head.row(["description", description]);
    }
    head.row(["on failure", text("on_failure").unwrap_or("block")]);
    head.row(["first applied", &local(overview.created_at)]);
    let mut all = format!("{}\n\n{}", head.render(), steps_table(definition, look));
    if let Some(schema) = definition.get("input_schema") {
        all.push_str(&format!("\n\ninput schema\n{schema:#}"));
    }
    all
}

/// The types of the steps have a column where one is not a standard step.
fn steps_table(definition: &Value, look: Look) -> String {
    let steps = || definition.get("steps").and_then(Value::as_array).into_iter().flatten();
    let typed =
        steps().any(|step| step.get("type").is_some_and(|step_type| step_type != "standard"));
    let cells =
        |cells: [String; 7]| cells.into_iter().enumerate().filter(move |(n, _)| typed || *n != 1);
    let headings =
        ["STEP", "TYPE", "HANDLER", "AFTER", "ATTEMPTS", "TIMEOUT", "CONFIG"].map(str::to_owned);
    let headings: Vec<String> = cells(headings).map(|(_, heading)| heading).collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(look, &headings).wrap_from(if typed { 3 } else { 2 });
    for step in steps() {
        table.row(cells(step_row(step)).map(|(_, cell)| cell));
    }
    table.render()
}

fn step_row(step: &Value) -> [String; 7] {
    let text = |pointer: &str| match step.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let parents = step.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    let parent = |parent: &Value| match (parent.as_str(), parent["step"].as_str()) {
        (Some(name), _) => Some(name.to_owned()),
        (None, Some(name)) => {
            Some(format!("{name} ({})", parent["on"].as_str().unwrap_or("complete")))
        }
        (None, None) => None,
    };
    let parents: Vec<String> = parents.filter_map(parent).collect();
    let attempts = match step.pointer("/retry/retryable") {
        Some(Value::Bool(false)) => "1".to_owned(),
        _ => text("/retry/max_attempts"),
    };
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let method = step.pointer("/handler/method").and_then(Value::as_str);
    [
        text("/name"),
        or(text("/type"), "standard"),
        text("/handler/callable") + &method.map(|method| format!(".{method}")).unwrap_or_default(),
        parents.join(", "),
        or(attempts, "3"),
        format!("{} s", or(text("/timeout_seconds"), "300")),
        text("/handler/config"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_step_shows_the_defaults_of_what_it_leaves_out() {
        let step = json!({"name": "a", "handler": {"callable": "noop"}});
        assert_eq!(step_row(&step), ["a", "standard", "noop", "", "3", "300 s", ""]);
        let step = json!({
            "name": "b",
            "dependencies": ["a", {"step": "x", "on": "failed"}],
            "timeout_seconds": 1.5,
            "handler": {"callable": "sleep", "config": {"seconds": 1}},
            "retry": {"retryable": false},
        });
        assert_eq!(
            step_row(&step),
            ["b", "standard", "sleep", "a, x (failed)", "1", "1.5 s", "{\"seconds\":1}"]
        );
    }

    #[test]
    fn types_are_shown_where_one_is_not_standard() {
        let handler = json!({"callable": "pay", "method": "refund"});
        let decision =
            json!({"steps": [{"name": "route", "type": "decision", "handler": handler}]});
        let text = steps_table(&decision, Look::PLAIN);
        assert!(text.ends_with("route  decision  pay.refund         3         300 s"), "{text}");
        let standard =
            json!({"steps": [{"name": "a", "type": "standard", "handler": {"callable": "noop"}}]});
        assert!(!steps_table(&standard, Look::PLAIN).contains("TYPE"));
    }

    #[test]
    fn what_became_current_is_said() {
        let of = |created: bool, was: Option<&str>| {
            let was = was.map(str::to_owned);
            outcome(
                &Applied { template_id: uuid::Uuid::nil(), created, was },
                "shop.order_pipeline 1.0.0",
            )
        };
        assert_eq!(
            of(false, Some("1.1.0")),
            "current again: shop.order_pipeline 1.0.0 (was 1.1.0)"
        );
        assert_eq!(of(true, None), "applied shop.order_pipeline 1.0.0");
        assert_eq!(
            of(true, Some("0.9")),
            "applied shop.order_pipeline 1.0.0, current now (was 0.9)"
        );
        assert_eq!(of(false, None), "unchanged, applied before: shop.order_pipeline 1.0.0");
    }

    #[test]
    fn problems_are_counted_in_words() {
        let input = |problems: usize| {
            let file = TemplateFile::parse("t.yaml", "name: a\n").unwrap();
            let problem = file.diagnostic("/name", "invalid_name", "no");
            Input {
                name: "t.yaml".to_owned(),
                parsed: Some(file),
                problems: vec![problem; problems],
                warnings: Vec::new(),
            }
        };
        let message = |inputs: &[Input]| format!("{:?}", refuse(inputs).unwrap_err());
        assert!(message(&[input(1), input(0)]).contains("\"1 problem in 1 file\""));
        assert!(message(&[input(2), input(1)]).contains("\"3 problems in 2 files\""));
        assert!(refuse(&[input(0)]).is_ok());
    }
}
