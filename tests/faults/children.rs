//! The worker, orchestrator, and consumer processes: each has a place, and whoever dies there is followed by another.

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
}

impl Children {
    /// Starts them.
    pub fn start(url: &str, orchestrators: usize, workers: usize) -> Self {
        let stop = CancellationToken::new();
        let mut keepers = JoinSet::new();
        let mut places = |role: &'static str, n: usize| -> Vec<Arc<Mutex<Place>>> {
            let places: Vec<Arc<Mutex<Place>>> = (0..n).map(|_| Arc::default()).collect();
            for place in &places {
                keepers.spawn(keep(role, url.to_owned(), Arc::clone(place), stop.clone()));
            }
            places
        };
        let (orchestrators, workers) = (places("orchestrator", orchestrators), places("worker", workers));
        let consumer = places("consumer", 1).remove(0);
        Self { workers, orchestrators, consumer, keepers, stop }
    }

    /// Ends them all.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.keepers.join_next().await.is_some() {}
    }
}

async fn keep(role: &'static str, url: String, place: Arc<Mutex<Place>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let mut child = spawn(role, &url);
        *place.lock().unwrap() = Place { pid: child.id(), id: None };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listen = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(id) = line.strip_prefix("id ").and_then(|id| id.parse().ok()) {
                    place.lock().unwrap().id = Some(id);
                }
            }
            child.wait().await.unwrap();
        };
        let ended = stop.run_until_cancelled(listen).await;
        *place.lock().unwrap() = Place::default();
        if ended.is_none() {
            child.kill().await.unwrap();
            return;
        }
        stop.run_until_cancelled(tokio::time::sleep(RESPAWN)).await;
    }
}

fn spawn(role: &str, url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--role", role, "--url", url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
