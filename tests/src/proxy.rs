//! A network between the engine and its database that a test can cut: servers only stop and start, and take
//! their time.

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
    /// Those that are there say nothing for ever, new ones work: another host has taken over.
    Moved,
}

/// Passes connections on to a server, or not.
#[derive(Debug)]
pub struct Proxy {
    network: watch::Sender<Network>,
    attempts: Arc<AtomicUsize>,
    port: u16,
}

impl Proxy {
    /// In front of the server of `url`; ends with the runtime of the test.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (network, seen) = watch::channel(Network::Up);
        let attempts = Arc::new(AtomicUsize::new(0));
        let (target, counted) = (address(url).to_owned(), Arc::clone(&attempts));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(stream, target.clone(), seen.clone()));
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
        self.network.send_replace(network);
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

async fn pass(mut client: TcpStream, target: String, mut network: watch::Receiver<Network>) {
    let mut server = None;
    let old = *network.borrow() != Network::Moved;
    loop {
        let now = match *network.borrow_and_update() {
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
