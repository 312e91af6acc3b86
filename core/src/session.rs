//! What a connection of ours is set to, whatever the database or the role has as its default: a
//! default that suits other programs (a statement_timeout of 300 ms, SERIALIZABLE) must not stop
//! the engine.

use crate::{bounds::LEASE, error::is_transient};
use sqlx::{AssertSqlSafe, PgConnection};
use std::{fmt::Write, time::Duration};

/// How long a statement of the engine may take: a little less than its caller waits, who then hears
/// why.
pub const STATEMENT: Duration = Duration::from_secs(55);
/// How long the engine waits for a lock.
const LOCK: Duration = Duration::from_secs(10);
/// What stays the same: how text becomes numbers and numbers text, and what else changes what a
/// statement means.
const MEANING: [(&str, &str); 7] = [
    ("standard_conforming_strings", "on"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("default_transaction_deferrable", "off"),
    // Our statements are short.
    ("jit", "off"),
];
/// The server looks every second, in the midst of a statement too, whether its client is still
/// there: else a killed process's statement would hold its locks until it ends. Windows cannot
/// look.
const CHECK: &str = "'client_connection_check_interval', '1s'";

/// What foreign code leaves behind on a session, and may be taken back within a transaction too:
/// role, settings, LISTEN, locks, temporary tables, the last values of sequences.
pub const FORGET: &str = "close all; set session authorization default; reset all; unlisten *; \
     select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences";

/// The limits of a kind of connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    statement: Duration,
    lock: Duration,
    lease: Duration,
}

impl Default for Session {
    fn default() -> Self {
        Self { statement: STATEMENT, lock: LOCK, lease: LEASE.default }
    }
}

impl Session {
    /// For statements that may take as long as they need, an installation for instance.
    pub fn unlimited() -> Self {
        Self { statement: Duration::ZERO, lock: Duration::ZERO, ..Self::default() }
    }

    /// With this limit to each statement; zero: no limit.
    pub fn statement(mut self, limit: Duration) -> Self {
        self.statement = limit;
        self
    }

    /// With this limit to each wait for a lock; zero: no limit.
    pub fn lock(mut self, limit: Duration) -> Self {
        self.lock = limit;
        self
    }

    /// For work under leases of this length: within it the server finds out that this process is
    /// gone.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The limit to each statement; zero: no limit.
    pub fn statement_limit(&self) -> Duration {
        self.statement
    }

    /// Connections unused for this long are asked whether they are alive.
    pub fn idle(&self) -> Duration {
        (self.lease / 3).clamp(Duration::from_millis(500), Duration::from_secs(10))
    }

    /// Sets a connection of ours alone, in one round trip.
    pub fn set(&self) -> String {
        let mut sql = String::from(
            "set default_transaction_isolation = 'read committed'; set idle_session_timeout = 0",
        );
        self.limits("set", &mut sql);
        // The server's own end: a client that vanished, and its transaction, are gone after about
        // the lease.
        let third = (self.lease / 3).as_secs().clamp(1, 20);
        let user = (self.lease.as_millis()).clamp(3_000, 60_000);
        for (name, value) in [("idle", third), ("interval", third.div_ceil(2)), ("count", 3)] {
            write!(sql, "; set tcp_keepalives_{name} = {value}").ok();
        }
        write!(sql, "; set tcp_user_timeout = {user}; {}", check(false)).ok();
        sql
    }

    /// Sets a new connection of a pool. A pool tries again after each error and hides it behind a
    /// timeout: one that does not pass is logged here. One that was lost is the caller's to report.
    ///
    /// # Errors
    /// The database's.
    pub async fn prepare(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let set = sqlx::raw_sql(AssertSqlSafe(self.set())).execute(connection).await;
        if let Err(error) = &set
            && !is_transient(error)
        {
            tracing::error!(%error, "cannot set a new connection to the database");
        }
        set.map(drop)
    }

    /// Begins a transaction with the same limits for it alone, in one round trip.
    pub fn begin(&self) -> String {
        let mut sql = String::from("begin isolation level read committed");
        self.limits("set local", &mut sql);
        write!(sql, "; {}", check(true)).ok();
        sql
    }

    /// Makes a connection of ours as new after foreign code ran on it, in one round trip: what
    /// `discard all` does but for the plans, which are nobody's state, and then [`Session::set`].
    /// Prepared statements are gone.
    pub fn reset(&self) -> String {
        format!("deallocate all; {FORGET}; {}", self.set())
    }

    fn limits(&self, set: &str, sql: &mut String) {
        let idle = self.lease.as_millis().clamp(2_000, 60_000);
        write!(sql, "; {set} statement_timeout = {}", self.statement.as_millis()).ok();
        write!(sql, "; {set} lock_timeout = {}", self.lock.as_millis()).ok();
        write!(sql, "; {set} idle_in_transaction_session_timeout = {idle}").ok();
        for (name, value) in MEANING {
            write!(sql, "; {set} {name} = {value}").ok();
        }
    }
}

/// Gives a transaction the role's own defaults of what [`Session::set`] says, for foreign code.
pub fn defaults() -> String {
    let names = MEANING.iter().map(|(name, _)| *name).chain(["lock_timeout"]);
    names.map(|name| format!("set local {name} to default")).collect::<Vec<_>>().join("; ")
}

/// Lets the server look after its client.
pub fn check(local: bool) -> String {
    format!(
        "select pg_catalog.set_config({CHECK}, {local}) \
         where pg_catalog.current_setting('dynamic_shared_memory_type') operator(pg_catalog.<>) \
         'windows'"
    )
}
