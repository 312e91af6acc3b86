//! `tasker top`: queues, workers, and rates, live.

mod draw;
mod screen;
mod snapshot;

use crate::{
    error::{Error, Result},
    globals::Globals,
    output::{self, Look},
    units::{self, milliseconds},
};
use clap::Args;
use pgtasker_client::Client;
use screen::{Key, Screen};
use snapshot::{Snapshot, View};
use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Less would be work for the database and no news.
const SHORTEST: Duration = Duration::from_millis(100);

/// Options of `tasker top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// The time between two updates, at least 100ms.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Look twice, an interval apart, print the result with its rates, and end. This is the default
    /// without a terminal.
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = units::parse_duration(text)?;
    if interval < SHORTEST { Err("it is 100ms at least".to_owned()) } else { Ok(interval) }
}

/// Shows until q, ctrl-c, or SIGTERM.
pub async fn run(args: TopArgs, globals: &Globals) -> Result<ExitCode> {
    let client = globals.client().await?;
    if args.once || globals.json || !std::io::stdout().is_terminal() {
        return once(&*client, args.interval, globals).await;
    }
    live(client, args.interval, globals.target()).await
}

async fn once(client: &dyn Client, interval: Duration, globals: &Globals) -> Result<ExitCode> {
    let mut view = View::default();
    view.add(Snapshot::take(client, None).await?);
    sleep(interval).await;
    let before = view.latest().map(|latest| latest.tasks.clone());
    view.add(Snapshot::take(client, before).await?);
    match globals.json {
        true => output::print_json(&view)?,
        false => output::print(&draw::page(&view, Look::stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What went wrong with a look.
struct Trouble {
    text: String,
    /// Nothing that time heals.
    lasting: Option<Error>,
}

async fn live(client: Arc<dyn Client>, interval: Duration, target: String) -> Result<ExitCode> {
    let shutdown = pgtasker_core::signals::shutdown()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut looks = looks(client, interval);
    let mut view = View::default();
    let mut title = draw::Title { target, interval, trouble: None };
    let mut screen = Screen::open()?;
    let mut away_since: Option<Instant> = None;
    loop {
        screen.show(|width, height| draw::screen(&title, &view, width, height))?;
        tokio::select! {
            () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
            key = screen.key() => match key {
                Key::Quit => return Ok(ExitCode::SUCCESS),
                Key::Other => {}
            },
            _ = resized.recv() => screen.clear()?,
            Some(look) = looks.recv() => match look {
                Ok(snapshot) => {
                    (away_since, title.trouble) = (None, None);
                    view.add(*snapshot);
                }
                // Ends if the first look fails: with a wrong key no picture ever comes.
                Err(Trouble { lasting: Some(error), .. }) if view.latest().is_none() => {
                    return Err(error);
                }
                Err(Trouble { text, .. }) => {
                    let since = away_since.get_or_insert_with(Instant::now).elapsed();
                    let away = milliseconds(since.as_secs_f64() * 1000.0);
                    title.trouble = Some(format!("{text}; for {away}"));
                }
            },
        }
    }
}

/// Looks at every interval, one after the other, until the receiver is gone.
fn looks(
    client: Arc<dyn Client>,
    interval: Duration,
) -> mpsc::Receiver<std::result::Result<Box<Snapshot>, Trouble>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut tasks = None;
        loop {
            let begun = Instant::now();
            let look = match tokio::time::timeout(PATIENCE, Snapshot::take(&*client, tasks.take()))
                .await
            {
                Ok(Ok(snapshot)) => {
                    tasks = Some(snapshot.tasks.clone());
                    Ok(Box::new(snapshot))
                }
                Ok(Err(error)) => {
                    let transient = error.is_transient();
                    let error = Error::from(error);
                    let text = error.message().to_owned();
                    Err(Trouble { text, lasting: (!transient).then_some(error) })
                }
                Err(_) => Err(Trouble { text: "no answer in time".to_owned(), lasting: None }),
            };
            if sender.send(look).await.is_err() {
                return;
            }
            sleep(interval.saturating_sub(begun.elapsed()).max(SHORTEST / 2)).await;
        }
    });
    receiver
}
