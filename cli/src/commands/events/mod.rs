//! `tasker events`: domain events as they are announced.

mod line;
mod seen;

use crate::{
    error::{Error, Result},
    globals::Globals,
    output::{self, Look},
    units::milliseconds,
};
use clap::{Args, Subcommand};
use line::Lines;
use pgtasker_client::{Client, EventPattern, QueueKind, QueuedEvent};
use seen::Seen;
use std::{
    fmt,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// Between two looks while there is no answer.
const AWAY: Duration = Duration::from_secs(1);
/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events of one look.
const PAGE: u32 = 500;
/// At the start, at least this many of the newest events are noted as seen: an event that becomes
/// visible between them is new.
const LOOK_BACK: u32 = 100;
/// This many of the newest events are searched for a name.
const NEWEST: u32 = 1000;

/// The commands of `tasker events`.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show the durable events of a namespace as they arrive, without consuming them; ctrl-c ends
    /// it.
    ///
    /// It reads the queue and its archive five times a second: events that a consumer deletes
    /// between two reads are not shown. With --json, each line is one complete event.
    Tail(TailArgs),
}

/// Options of `tasker events tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// The namespace.
    namespace: String,
    /// How many of the newest events to show first, up to 1000.
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(0..=1000),
    )]
    lines: u32,
    /// Only events with this name: words joined by dots; * stands for one word, a final * for one
    /// or more, such as payment.*. At the start, the newest 1000 events are searched.
    #[arg(long, value_name = "PATTERN")]
    name: Option<EventPattern>,
    /// Keep showing new events (the default).
    #[arg(short, long, overrides_with = "no_follow")]
    follow: bool,
    /// End after the newest events.
    #[arg(long, overrides_with = "follow")]
    no_follow: bool,
}

pub async fn run(command: EventsCommand, globals: &Globals) -> Result<ExitCode> {
    let EventsCommand::Tail(args) = command;
    let client = globals.client().await?;
    let shutdown = pgtasker_core::signals::shutdown()?;
    let ends = args.no_follow;
    let mut tail = Tail::new(globals, client, args);
    let shown = async {
        tail.begin().await?;
        if ends { Ok(()) } else { tail.follow().await }
    };
    tokio::select! {
        ended = shown => ended?,
        () = shutdown.cancelled() => {}
        () = output::reader_gone() => {}
    }
    Ok(ExitCode::SUCCESS)
}

struct Tail<'a> {
    globals: &'a Globals,
    client: Arc<dyn Client>,
    args: TailArgs,
    seen: Seen,
    lines: Lines,
}

/// Why there was no answer: what time may heal, what a new connection may, and what neither does.
enum Trouble {
    Passing(String),
    Silence,
    Lasting(Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(text) => f.write_str(text),
            Self::Silence => f.write_str("no answer in time"),
            Self::Lasting(error) => f.write_str(error.message()),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

impl<'a> Tail<'a> {
    fn new(globals: &'a Globals, client: Arc<dyn Client>, args: TailArgs) -> Self {
        let lines = Lines::new(globals.json, Look::stdout());
        Self { globals, client, args, seen: Seen::default(), lines }
    }

    /// Shows the newest. An error of this look ends the program, so that a wrong URL does not wait
    /// without end.
    async fn begin(&mut self) -> Result<()> {
        let asked = match self.args.name {
            Some(_) => NEWEST,
            None => self.args.lines.max(LOOK_BACK),
        };
        let newest = self.client.list_events(&self.args.namespace, None, asked).await?;
        self.seen.begin(&newest, newest.len() < asked as usize);
        let is_empty = newest.is_empty();
        let wanted: Vec<QueuedEvent> =
            newest.into_iter().filter(|event| self.is_wanted(event)).collect();
        let first = wanted.len().saturating_sub(self.args.lines as usize);
        self.lines.print(&wanted[first..])?;
        if is_empty && !self.publishes().await {
            output::note(&format!(
                "no template of {} has durable events: see publishes_events in its steps, with \
                 delivery durable or broadcast",
                self.args.namespace
            ));
        } else if wanted.is_empty() && self.args.no_follow {
            output::note("no such events");
        }
        Ok(())
    }

    /// Whether the namespace has a queue for events; true where nobody says.
    async fn publishes(&self) -> bool {
        let Ok(queues) = self.client.list_queues().await else { return true };
        let namespace = Some(self.args.namespace.as_str());
        queues
            .iter()
            .any(|queue| queue.kind == QueueKind::Events && queue.namespace.as_deref() == namespace)
    }

    fn is_wanted(&self, event: &QueuedEvent) -> bool {
        let Some(pattern) = &self.args.name else { return true };
        event.event["name"].as_str().is_some_and(|name| pattern.matches(name))
    }

    /// Shows what comes, until something goes wrong that time does not heal.
    async fn follow(&mut self) -> Result<()> {
        let mut away_since: Option<Instant> = None;
        loop {
            sleep(if away_since.is_some() { AWAY } else { INTERVAL }).await;
            match self.look().await {
                Ok(()) => {
                    if let Some(since) = away_since.take() {
                        let away = milliseconds(since.elapsed().as_secs_f64() * 1000.0);
                        output::note(&format!("answering again after {away}"));
                    }
                }
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(trouble) => {
                    let silent = matches!(trouble, Trouble::Silence);
                    if away_since.is_none() {
                        output::note(&format!("{trouble}; waiting"));
                        away_since = Some(Instant::now());
                    }
                    // The host may be gone forever, and another one have its address.
                    if silent && let Ok(client) = self.globals.client().await {
                        self.client = client;
                    }
                }
            }
        }
    }

    /// Shows what is new: ahead of all that was seen, and in the gaps between.
    async fn look(&mut self) -> Result<(), Trouble> {
        loop {
            let new = self.list(self.seen.highest(), PAGE).await?;
            self.seen.add(&new);
            self.show(&new)?;
            if new.len() < PAGE as usize {
                break;
            }
        }
        let mut gaps = self.seen.due(PAGE);
        while let Some((after, limit)) = gaps.next_request() {
            let mut found = self.list(after, limit).await?;
            gaps.answered(
                found.last().filter(|_| found.len() >= limit as usize).map(|event| event.msg_id),
            );
            found.retain(|event| self.seen.fill(event.msg_id));
            self.show(&found)?;
        }
        self.seen.looked(gaps);
        Ok(())
    }

    fn show(&mut self, events: &[QueuedEvent]) -> Result<()> {
        let wanted: Vec<QueuedEvent> =
            events.iter().filter(|event| self.is_wanted(event)).cloned().collect();
        self.lines.print(&wanted)
    }

    async fn list(&self, after: i64, limit: u32) -> Result<Vec<QueuedEvent>, Trouble> {
        let call = self.client.list_events(&self.args.namespace, Some(after), limit);
        match timeout(PATIENCE, call).await {
            Ok(Ok(events)) => Ok(events),
            Ok(Err(error)) if error.is_transient() => {
                Err(Trouble::Passing(Error::from(error).message().to_owned()))
            }
            Ok(Err(error)) => Err(Trouble::Lasting(error.into())),
            Err(_) => Err(Trouble::Silence),
        }
    }
}
