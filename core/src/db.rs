//! The connection pool, and reconnecting with backoff. The one use of the `backoff` crate.

use crate::{
    Error, Result, bounds::CONNECTIONS, database_url, error::is_transient, hosts, limited,
    session::Session,
};
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};
use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// How a process connects.
#[derive(Clone)]
pub struct DbOptions {
    /// `postgres://user:password@host:port/database`, or another form that psql takes; of several
    /// hosts the one that takes writes is used.
    pub url: String,
    /// Seen in `pg_stat_activity`.
    pub application_name: String,
    /// Connections at most.
    pub max_connections: u32,
    /// How long the first connection is tried before giving up.
    pub connect_timeout: Duration,
    /// What each connection is set to, whatever the database's defaults are.
    pub session: Session,
    /// A pooler in transaction mode may be between: connections are not ours to set, each
    /// transaction is.
    pub pooled: bool,
}

impl fmt::Debug for DbOptions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbOptions")
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}

impl DbOptions {
    /// Ten connections, ten seconds to connect.
    pub fn new(url: impl Into<String>, application_name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            application_name: application_name.into(),
            max_connections: CONNECTIONS.default,
            connect_timeout: Duration::from_secs(10),
            session: Session::default(),
            pooled: false,
        }
    }

    /// For connections by way of a pooler in transaction mode.
    pub fn pooled(mut self, pooled: bool) -> Self {
        self.pooled = pooled;
        self
    }

    /// Sets what each connection is set to.
    pub fn session(mut self, session: Session) -> Self {
        self.session = session;
        self
    }

    /// Sets the size of the pool.
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max;
        self
    }
}

/// A program that waits longer for the database logs why: at once, and then every [`REMINDER`].
const LONG: Duration = Duration::from_secs(20);
/// See [`LONG`].
const REMINDER: Duration = Duration::from_secs(10);

/// Opens a pool and waits, with backoff, until the database answers.
///
/// # Errors
/// [`Error::InvalidUrl`] at once; [`Error::Unreachable`] after `connect_timeout`; a wrong password
/// or a missing database at once, and so [`Error::Tls`].
pub async fn connect(options: &DbOptions) -> Result<PgPool> {
    let prepared = |host: PgConnectOptions| {
        host.application_name(&options.application_name)
            // The server's own default shows every digit as well, and pgbouncer refuses what it
            // does not know.
            .extra_float_digits(None)
            .disable_statement_logging()
    };
    let hosts: Vec<_> = database_url::parse_all(&options.url)?.into_iter().map(prepared).collect();
    hosts::register(&hosts);
    let connect = &hosts[0];
    let places: Vec<_> =
        hosts.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect();
    let database = connect.get_database().unwrap_or(connect.get_username());
    let target = format!("{}/{database}", places.join(","));
    let mut delays = Delays::new(Duration::from_millis(50), Duration::from_secs(1));
    let started = Instant::now();
    let mut reminder = if options.connect_timeout < LONG { Duration::MAX } else { Duration::ZERO };
    loop {
        // Not through the pool: its acquire would hide the reason behind a timeout.
        let there = match hosts.len() {
            1 => limited::open(connect).await.map(|_| connect.clone()),
            _ => hosts::find(connect).await,
        };
        match there {
            Ok(host) => {
                let pool = pool_options(options).connect_lazy_with(host);
                hosts::follow(&pool);
                return Ok(pool);
            }
            Err(source) => {
                if let Some(error) = tls_problem(&target, &source) {
                    return Err(error);
                }
                if !is_transient(&source) {
                    return Err(source.into());
                }
                if started.elapsed() >= options.connect_timeout {
                    return Err(Error::Unreachable { target, waited: started.elapsed(), source });
                }
                if started.elapsed() >= reminder {
                    reminder = started.elapsed() + REMINDER;
                    let patience = options.connect_timeout;
                    tracing::warn!(
                        database = target,
                        error = %source,
                        "cannot reach the database: will try again for up to {patience:?}"
                    );
                }
                tokio::time::sleep(delays.next()).await;
            }
        }
    }
}

/// The options of a pool whose connections are set and asked as `options` says.
pub fn pool_options(options: &DbOptions) -> PgPoolOptions {
    let DbOptions { session, pooled, .. } = *options;
    let idle = session.idle();
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.connect_timeout)
        // A dead connection shows itself at its first use; asking before each use costs a round
        // trip. One that nobody used for a while is asked: TCP does not tell that the other end is
        // gone.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            Box::pin(async move {
                Ok(meta.idle_for < idle
                    || limited::ping(connection, limited::PING.min(idle)).await.is_ok())
            })
        });
    if pooled {
        return pool;
    }
    pool.after_connect(move |connection, _| Box::pin(session.prepare(connection)))
}

/// How long a process that starts waits for a database which answers and goes away again.
const START: Duration = Duration::from_secs(30);

/// For the calls of a process's start, which are made again while their errors are such as pass: a
/// server that restarts takes connections, and breaks them, more than once.
#[derive(Debug)]
pub struct Starting {
    since: Instant,
    delays: Delays,
}

impl Starting {
    /// It has half a minute from now on.
    #[allow(clippy::new_without_default, reason = "it begins to count")]
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            delays: Delays::new(Duration::from_millis(50), Duration::from_secs(1)),
        }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The one given, where it does not pass or the time is over.
    pub async fn again(&mut self, error: Error) -> Result<()> {
        if !error.is_transient() || self.since.elapsed() > START {
            return Err(error);
        }
        tracing::debug!(%error, "not yet");
        tokio::time::sleep(self.delays.next()).await;
        Ok(())
    }
}

/// What keeps the connection from being as safe as the URL asks for, which waiting does not help.
fn tls_problem(target: &str, error: &sqlx::Error) -> Option<Error> {
    let mut reason = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        reason = error.to_string();
        cause = error.source();
    }
    let remedy = if reason.contains("NotValidForName") || reason.contains("not valid for name") {
        "the server's certificate is for another name: use that name in the URL, or \
         sslmode=verify-ca, which does not \
         compare it"
    } else if reason.contains("invalid peer certificate") {
        "name the file with the certificate of the authority that signed the server's: \
         sslrootcert=FILE in the database URL"
    } else if reason.contains("server does not support TLS") {
        "turn it on at the server (ssl = on), or ask for less: sslmode=prefer in the database URL"
    } else if matches!(error, sqlx::Error::Tls(_)) {
        "look at sslrootcert, sslcert, and sslkey in the database URL: each is a file in PEM form"
    } else {
        return None;
    };
    Some(Error::Tls { target: target.to_owned(), reason, remedy: remedy.to_owned() })
}

/// Growing, jittered delays between attempts to reach the database. Never ends.
#[derive(Debug)]
pub struct Delays(ExponentialBackoff);

impl Delays {
    /// From `first` up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self(
            ExponentialBackoffBuilder::new()
                .with_initial_interval(first)
                .with_max_interval(longest)
                .with_max_elapsed_time(None)
                .build(),
        )
    }

    /// The next delay; longer each time until [`Delays::reset`].
    #[allow(clippy::should_implement_trait, reason = "an iterator would have to end")]
    pub fn next(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// The waits of one loop that tries again, and when it says so in the log.
#[derive(Debug)]
pub struct Retry {
    delays: Delays,
    row: u32,
}

/// A failure that passes by itself is worth a line when it came this often in a row.
const LASTING: u32 = 4;

impl Retry {
    /// Waits from `first` up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { delays: Delays::new(first, longest), row: 0 }
    }

    /// How long to wait, and whether people should read of it: of what will not pass by itself
    /// always, of what should have passed once, and of an outage never: the circuit breaker has
    /// said so.
    pub fn failed(&mut self, error: &Error) -> (Duration, bool) {
        self.row = self.row.saturating_add(1);
        let lasting = self.row == LASTING && !error.is_outage();
        (self.delays.next(), lasting || !error.is_transient())
    }

    /// A success: the next failure is a first one.
    pub fn over(&mut self) {
        if self.row > 0 {
            self.row = 0;
            self.delays.reset();
        }
    }
}
