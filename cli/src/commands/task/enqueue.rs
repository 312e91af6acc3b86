//! `tasker task enqueue`: starts a task, and with --wait follows it to its end.

use super::{context, details, follow};
use crate::{error::Result, globals::Globals, output, template_name::TemplateName, units};
use chrono::{DateTime, Utc};
use clap::Args;
use pgtasker_client::NewTask;
use serde_json::json;
use std::{io::IsTerminal, process::ExitCode, time::Duration};
use uuid::Uuid;

/// Options of `tasker task enqueue`.
#[derive(Debug, Args)]
pub struct EnqueueArgs {
    /// The template to run.
    #[arg(value_name = "NAMESPACE.NAME")]
    pub template: TemplateName,
    /// The task's input, a JSON object: JSON, or @FILE, or - for standard input.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    context: String,
    /// The version of the template [default: the current one (applied or used last)].
    #[arg(long)]
    pub version: Option<String>,
    /// Among held steps, those with a higher priority go first: in a namespace with a limit
    /// (namespace limit), or after a pause. Elsewhere, steps run in the order in which they became
    /// ready.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub priority: i32,
    /// Start no earlier than this: 2026-01-31T09:00:00Z, or a delay such as 10m [default: now].
    #[arg(long, value_name = "TIME", value_parser = units::parse_moment)]
    run_at: Option<DateTime<Utc>>,
    /// Enqueue once: the same key with the same content returns the existing task.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// An id that related tasks share [default: the task's own].
    #[arg(long, value_name = "UUID")]
    correlation_id: Option<Uuid>,
    /// The W3C trace context of the caller, so that the task is part of its trace.
    #[arg(long, env = "TRACEPARENT", value_name = "TRACEPARENT")]
    traceparent: Option<String>,
    /// Follow the task until it has finished; exits with 1 when it fails.
    #[arg(long)]
    pub wait: bool,
    /// With --wait: stop waiting after this time; the task goes on.
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = units::parse_duration)]
    pub timeout: Option<Duration>,
}

pub async fn run(args: EnqueueArgs, globals: &Globals) -> Result<ExitCode> {
    let task = NewTask {
        version: args.version,
        priority: args.priority,
        run_at: args.run_at,
        idempotency_key: args.idempotency_key,
        correlation_id: args.correlation_id,
        traceparent: args.traceparent,
        ..NewTask::new(args.template.namespace, args.template.name)
            .context(context::read(&args.context, "context")?)
    };
    let client = globals.client().await?;
    let task_id = client.enqueue_task(&task).await?;
    if args.wait {
        if !globals.json {
            output::print(&task_id.to_string())?;
        }
        let status = follow::until_settled(&*client, task_id, args.timeout).await?;
        details::print(&*client, task_id, details::More::default(), globals).await?;
        return follow::verdict(&status);
    }
    if globals.json {
        output::print_json(&json!({"task_id": task_id}))?;
    } else {
        output::print(&task_id.to_string())?;
        if std::io::stdout().is_terminal() {
            let hint = console::style(format!("follow it: tasker task watch {task_id}"))
                .for_stderr()
                .dim();
            output::note(&hint.to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}
