//! Several hosts in one URL, of which one takes writes: it is found by asking each in turn, at the
//! start and whenever the circuit to the database is open. sqlx knows one host: the pools are told
//! of another.

use crate::limited;
use sqlx::{PgConnection, PgPool, Row, postgres::PgConnectOptions};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How long one of several may take to answer. Not less: a busy host must not be taken for one that
/// is gone.
pub(crate) const EACH: Duration = Duration::from_secs(5);

/// The hosts of the URLs that this process has connected by, where one names several.
static CLUSTERS: Mutex<Vec<Cluster>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Cluster {
    hosts: Vec<PgConnectOptions>,
    /// The one that took writes last.
    primary: watch::Sender<usize>,
}

/// Remembers the hosts of a URL.
pub(crate) fn register(hosts: &[PgConnectOptions]) {
    let mut clusters = lock();
    if hosts.len() > 1 && !clusters.iter().any(|known| known.is(hosts)) {
        clusters.push(Cluster { hosts: hosts.to_vec(), primary: watch::Sender::new(0) });
    }
}

/// How many hosts the URL had by which this was connected.
pub(crate) fn count(options: &PgConnectOptions) -> usize {
    lock()
        .iter()
        .find_map(|cluster| cluster.position(options).map(|_| cluster.hosts.len()))
        .unwrap_or(1)
}

/// The host that takes writes, asked in turn, that of `options` first.
///
/// # Errors
/// That of the last one asked.
pub(crate) async fn find(options: &PgConnectOptions) -> sqlx::Result<PgConnectOptions> {
    let (hosts, first) = {
        let clusters = lock();
        let known = clusters
            .iter()
            .find_map(|cluster| Some((cluster.hosts.clone(), cluster.position(options)?)));
        known.unwrap_or_else(|| (vec![options.clone()], 0))
    };
    let limit = if hosts.len() == 1 { limited::CONNECT } else { EACH };
    let mut failed = sqlx::Error::PoolClosed;
    for n in 0..hosts.len() {
        let host = &hosts[(first + n) % hosts.len()];
        match limited::within(limit, asked(host)).await {
            Ok(()) => {
                found(host);
                return Ok(named(host, options));
            }
            Err(error) => {
                tracing::debug!(
                    %error,
                    host = host.get_host(),
                    port = host.get_port(),
                    "this host takes no writes"
                );
                failed = error;
            }
        }
    }
    Err(failed)
}

/// Keeps the pool on the host that takes writes, until it is closed.
pub fn follow(pool: &PgPool) {
    let options = pool.connect_options();
    let primary = lock()
        .iter()
        .find(|cluster| cluster.position(&options).is_some())
        .map(|cluster| (cluster.hosts.clone(), cluster.primary.subscribe()));
    let Some((hosts, mut primary)) = primary else { return };
    let pool = pool.clone();
    tokio::spawn(async move {
        loop {
            let now = *primary.borrow_and_update();
            let options = pool.connect_options();
            if !same(&options, &hosts[now]) {
                pool.set_connect_options(named(&hosts[now], &options));
            }
            tokio::select! {
                () = pool.close_event() => return,
                changed = primary.changed() => if changed.is_err() { return },
            }
        }
    });
}

/// Moves the pool to this host.
pub(crate) fn follow_once(pool: &PgPool, host: &PgConnectOptions) {
    if !same(&pool.connect_options(), host) {
        pool.set_connect_options(host.clone());
    }
}

async fn asked(host: &PgConnectOptions) -> sqlx::Result<()> {
    let mut connection = limited::open(host).await?;
    takes_writes(&mut connection).await?;
    // It has answered: how it ends says nothing.
    limited::close(connection).await.ok();
    Ok(())
}

/// A standby answers too, after a failover for instance.
///
/// # Errors
/// It is one; or the database's.
pub(crate) async fn takes_writes(connection: &mut PgConnection) -> sqlx::Result<()> {
    // Not prepared: one round trip, in which a pooler does not change the server.
    let row = sqlx::raw_sql("show transaction_read_only").fetch_one(connection).await?;
    if row.try_get::<&str, _>(0)? == "on" {
        return Err(read_only());
    }
    Ok(())
}

/// The error of a server that takes no writes.
pub(crate) fn read_only() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other("it is read-only, as a standby is"))
}

fn found(host: &PgConnectOptions) {
    for cluster in lock().iter() {
        if let Some(position) = cluster.position(host) {
            let moved = cluster
                .primary
                .send_if_modified(|now| std::mem::replace(now, position) != position);
            if moved {
                tracing::info!(
                    host = host.get_host(),
                    port = host.get_port(),
                    "this host takes the writes now"
                );
            }
        }
    }
}

/// With the name under which the pool is seen.
fn named(host: &PgConnectOptions, like: &PgConnectOptions) -> PgConnectOptions {
    match like.get_application_name() {
        Some(name) => host.clone().application_name(name),
        None => host.clone(),
    }
}

impl Cluster {
    fn position(&self, options: &PgConnectOptions) -> Option<usize> {
        self.hosts.iter().position(|host| same(host, options))
    }

    fn is(&self, hosts: &[PgConnectOptions]) -> bool {
        self.hosts.len() == hosts.len()
            && self.hosts.iter().zip(hosts).all(|(one, other)| same(one, other))
    }
}

fn same(one: &PgConnectOptions, other: &PgConnectOptions) -> bool {
    let place = |options: &PgConnectOptions| {
        let socket = options.get_socket().cloned();
        let database = options.get_database().map(str::to_owned);
        (
            options.get_host().to_owned(),
            options.get_port(),
            socket,
            database,
            options.get_username().to_owned(),
        )
    };
    place(one) == place(other)
}

fn lock() -> MutexGuard<'static, Vec<Cluster>> {
    CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner)
}
