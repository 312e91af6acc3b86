//! The worker, orchestrator, and consumer processes: each has a place, and one that dies is
//! followed by another.

use crate::{args::Args, languages::Language};
use pgtasker_tests::TestDb;
use sqlx::PgPool;
use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How soon a place is filled again.
const RESPAWN: Duration = Duration::from_millis(100);

/// Who runs at a place now.
#[derive(Debug, Default)]
pub struct Place {
    /// None while the place is empty.
    pub pid: Option<u32>,
    /// A worker's id, once it has said it.
    pub id: Option<Uuid>,
}

/// All of them.
pub struct Children {
    /// The workers' places.
    pub workers: Vec<Arc<Mutex<Place>>>,
    /// The orchestrators' places.
    pub orchestrators: Vec<Arc<Mutex<Place>>>,
    /// That of the consumer of events.
    pub consumer: Arc<Mutex<Place>>,
    keepers: JoinSet<()>,
    stop: CancellationToken,
    ends: Arc<Mutex<Ends>>,
}

/// How workers have ended that were asked to stop, and not killed before they had.
#[derive(Debug, Default, Clone)]
pub struct Ends {
    /// All their claims were given back, or their results stored.
    pub clean: u32,
    /// Claims were left to run out, as when their database was away at that moment.
    pub left: u32,
}

impl Ends {
    /// Amid short steps a stop leaves nothing, but where something else happens in that second.
    pub fn violation(&self) -> Option<String> {
        (self.left > 1 + self.clean / 3).then(|| {
            format!("{} stops left claims behind, and only {} did not", self.left, self.clean)
        })
    }
}

impl Children {
    /// Starts them, with the database `db` behind `url`.
    pub fn start(url: &str, db: &TestDb, args: &Args) -> Self {
        let (stop, ends) = (CancellationToken::new(), Arc::default());
        let mut keepers = JoinSet::new();
        let mut places = |role: &'static str, n: usize| -> Vec<Arc<Mutex<Place>>> {
            let places: Vec<Arc<Mutex<Place>>> = (0..n).map(|_| Arc::default()).collect();
            let languages = args.languages.iter().cycle();
            for (place, language) in places.iter().zip(languages) {
                let watch = Watch { pool: db.pool.clone(), ends: Arc::clone(&ends) };
                let (url, direct, language) = (url.to_owned(), db.url.clone(), *language);
                let spawn = move || match (role, language) {
                    ("worker", language) if language != Language::Rust => {
                        language.worker(&url, &direct)
                    }
                    _ => own(role, &url),
                };
                keepers.spawn(keep(role, spawn, Arc::clone(place), stop.clone(), watch));
            }
            places
        };
        let (orchestrators, workers) =
            (places("orchestrator", args.orchestrators), places("worker", args.workers));
        let consumer = places("consumer", 1).remove(0);
        Self { workers, orchestrators, consumer, keepers, stop, ends }
    }

    /// Ends them all.
    pub async fn stop(mut self) -> Ends {
        self.stop.cancel();
        while self.keepers.join_next().await.is_some() {}
        self.ends.lock().unwrap().clone()
    }
}

/// Looks what a worker has left behind.
struct Watch {
    pool: PgPool,
    ends: Arc<Mutex<Ends>>,
}

impl Watch {
    async fn ended(&self, worker: Uuid) {
        let sql =
            "select count(*) from tasker.steps where worker_id = $1 and state = 'in_progress'";
        let claims = sqlx::query_scalar::<_, i64>(sql).bind(worker).fetch_one(&self.pool).await;
        let mut ends = self.ends.lock().unwrap();
        match claims {
            Ok(0) => ends.clean += 1,
            Ok(_) => ends.left += 1,
            // The server restarts.
            Err(_) => {}
        }
    }
}

async fn keep(
    role: &'static str,
    command: impl Fn() -> Command,
    place: Arc<Mutex<Place>>,
    stop: CancellationToken,
    watch: Watch,
) {
    while !stop.is_cancelled() {
        let mut child = spawn(command());
        *place.lock().unwrap() = Place { pid: child.id(), id: None };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listen = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(id) = line.strip_prefix("id ").and_then(|id| id.parse().ok()) {
                    place.lock().unwrap().id = Some(id);
                }
            }
            child.wait().await.unwrap()
        };
        let ended = stop.run_until_cancelled(listen).await;
        let was = std::mem::take(&mut *place.lock().unwrap());
        // Only who was asked to ends well by itself.
        if let (Some(id), true) =
            (was.id, role == "worker" && ended.is_some_and(|status| status.success()))
        {
            watch.ended(id).await;
        }
        if ended.is_none() {
            child.kill().await.unwrap();
            return;
        }
        stop.run_until_cancelled(tokio::time::sleep(RESPAWN)).await;
    }
}

/// This program in a role.
fn own(role: &str, url: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--role", role, "--url", url]);
    command
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}
