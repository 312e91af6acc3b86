//! A database for each test, copied from template1, which is migrated once in this process.

use crate::scram::verifier;
use pgtasker_embedded::Embedded;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Connections of a test's pool.
const CONNECTIONS: u32 = 10;
/// So many databases of ended tests are left alone: dropping costs more time than a small process
/// saves.
const LEFT_ALONE: usize = 16;

/// Started by the first test, and ended with the process: a static is never dropped, its pipe
/// closes.
static SERVER: OnceCell<Embedded> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(1);
/// Databases of tests that have ended.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A database of its own with the schema installed. Each test has its own; no two see each other.
#[derive(Debug)]
pub struct TestDb {
    /// Connects as the superuser, lazily, with up to 10 connections.
    pub pool: PgPool,
    /// For programs of their own.
    pub url: String,
    name: String,
    /// Whether the server outlives this database.
    shared: bool,
}

impl TestDb {
    /// A migrated database on the server of this process.
    pub async fn new() -> Self {
        let server = SERVER.get_or_init(migrated_server).await;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(&server.admin_url()).await;
        for ended in take_ended() {
            run(&mut admin, format!("drop database {ended} with (force)")).await;
        }
        create(&mut admin, &name).await;
        close(admin).await;
        Self {
            pool: pool(&server.url(&name), CONNECTIONS),
            url: server.url(&name),
            name,
            shared: true,
        }
    }

    /// A migrated database on a server of the test's own, which the test may kill; see
    /// [`start_server`].
    pub async fn on(server: &Embedded) -> Self {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(&server.admin_url()).await;
        create(&mut admin, &name).await;
        close(admin).await;
        migrate(&server.url(&name)).await;
        Self {
            pool: pool(&server.url(&name), CONNECTIONS),
            url: server.url(&name),
            name,
            shared: false,
        }
    }

    /// Somebody who logs in and is in these roles, and has no other right: the name, and the URL. A
    /// new one each time, as roles belong to the server, which other tests use as well.
    pub async fn login(&self, roles: &[&str]) -> (String, String) {
        let name = format!("person_{}", Uuid::now_v7().simple());
        let password = Uuid::new_v4().simple().to_string();
        let verifier = verifier(&password);
        let mut create = format!("create role {name} login password '{verifier}';");
        create.extend(roles.iter().map(|role| format!("grant {role} to {name};")));
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&self.pool).await.unwrap();
        let (_, address) = self.url.split_once('@').expect("the URL has a user");
        (name.clone(), format!("postgres://{name}:{password}@{address}"))
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if self.shared {
            ENDED.lock().unwrap().push(std::mem::take(&mut self.name));
        }
    }
}

/// Starts a throwaway server of the test's own, for tests that crash it or need settings:
/// `start_server(&[("shared_buffers", "1GB")])`. It stops when it is dropped.
pub async fn start_server(settings: &[(&str, &str)]) -> Embedded {
    let mut builder = Embedded::ephemeral().settings(settings.iter().copied());
    if let Some(folder) = std::env::var_os("TASKER_TEST_PG_BIN").filter(|folder| !folder.is_empty())
    {
        builder = builder.bin(folder);
    }
    builder.start().await.unwrap_or_else(|e| panic!("{e}"))
}

async fn migrated_server() -> Embedded {
    let server = start_server(&[]).await;
    let url = server.admin_url();
    let (password, _) = url.trim_start_matches("postgres://postgres:").split_once('@').unwrap();
    let mut admin = connect(&url).await;
    run(&mut admin, format!("alter role postgres password '{}'", verifier(password))).await;
    close(admin).await;
    migrate(&server.url("template1")).await;
    server
}

async fn migrate(url: &str) {
    let pool = pool(url, 1);
    pgtasker_queues::migrate(&pool)
        .await
        .unwrap_or_else(|e| panic!("migrating a new database: {e}"));
    // A database with connections is no template.
    pool.close().await;
}

/// A copy of template1. With fsync off, copying files is twice as fast as going by way of the WAL.
async fn create(admin: &mut PgConnection, name: &str) {
    run(admin, format!("create database {name} strategy file_copy")).await;
}

fn take_ended() -> Vec<String> {
    let mut ended = ENDED.lock().unwrap();
    let surplus = ended.len().saturating_sub(LEFT_ALONE);
    ended.drain(..surplus).collect()
}

fn pool(url: &str, connections: u32) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .unwrap_or_else(|e| panic!("connecting to the test server: {e}"))
}

async fn close(connection: PgConnection) {
    connection.close().await.unwrap_or_else(|e| panic!("closing a connection: {e}"));
}

async fn run(connection: &mut PgConnection, sql: String) {
    if let Err(e) = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(connection).await {
        panic!("{sql}: {e}");
    }
}
