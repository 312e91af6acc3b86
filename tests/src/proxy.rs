//! A network between the engine and its database that a test can cut: servers only stop and start,
//! and take their time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// They work.
    Up,
    /// Those that are there break, new ones are refused: the server has ended.
    Down,
    /// Those that are there and new ones say nothing: the host is gone.
    Silent,
    /// Those that are there say nothing forever, new ones work: another host has taken over.
    Moved,
}

/// Connections are counted as they come.
#[derive(Debug, Clone, Copy)]
struct State {
    network: Network,
    /// Those before this one say nothing forever.
    silent_before: usize,
    /// Those before this one are closed at the server's end, and the client does not hear of it.
    half_open_before: usize,
}

/// Passes connections on to a server, or not.
#[derive(Debug)]
pub struct Proxy {
    network: watch::Sender<State>,
    attempts: Arc<AtomicUsize>,
    port: u16,
}

impl Proxy {
    /// In front of the server of `url`; ends with the runtime of the test.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let up = State { network: Network::Up, silent_before: 0, half_open_before: 0 };
        let (network, seen) = watch::channel(up);
        let attempts = Arc::new(AtomicUsize::new(0));
        let (target, counted) = (address(url).to_owned(), Arc::clone(&attempts));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(number, stream, target.clone(), seen.clone()));
            }
        });
        Self { network, attempts, port }
    }

    /// The URL by way of this proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(address(url), &format!("127.0.0.1:{}", self.port), 1)
    }

    /// Changes the network.
    pub fn set(&self, network: Network) {
        self.network.send_modify(|state| state.network = network);
    }

    /// The connections that are there stay open and pass nothing any more; new ones work. As often
    /// as one likes.
    pub fn silence(&self) {
        let now = self.attempts();
        self.network.send_modify(|state| state.silent_before = now);
    }

    /// The server has closed its end of the connections that are there, which their clients do not
    /// hear; new ones work.
    pub fn half_open(&self) {
        let now = self.attempts();
        self.network
            .send_modify(|state| (state.silent_before, state.half_open_before) = (now, now));
    }

    /// The server, too, gives up the connections that say nothing, as its keepalives make it.
    pub fn give_up(&self) {
        self.network.send_modify(|state| state.half_open_before = state.silent_before);
    }

    /// Connections that were tried so far.
    pub fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }
}

/// The `host:port` of a URL.
fn address(url: &str) -> &str {
    let rest = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap()
}

async fn pass(
    number: usize,
    mut client: TcpStream,
    target: String,
    mut network: watch::Receiver<State>,
) {
    let mut server = None;
    let old = network.borrow().network != Network::Moved;
    loop {
        let state = *network.borrow_and_update();
        if number < state.half_open_before {
            server = None;
        }
        let now = match state.network {
            Network::Down => Network::Down,
            _ if number < state.silent_before => Network::Silent,
            Network::Moved if old => Network::Silent,
            Network::Moved => Network::Up,
            other => other,
        };
        match now {
            // Both ends are dropped.
            Network::Down => return,
            Network::Silent => {
                if network.changed().await.is_err() {
                    return;
                }
            }
            Network::Up | Network::Moved => {
                if server.is_none() {
                    server = TcpStream::connect(&target).await.ok();
                }
                let Some(server) = &mut server else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut client, server) => return,
                    changed = network.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}
