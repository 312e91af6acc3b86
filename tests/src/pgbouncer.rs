//! pgbouncer in transaction mode before a server of the test's own.

use crate::eventually;
use pgtasker_embedded::Embedded;
use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};
use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

const SOON: Duration = Duration::from_secs(20);

/// A running pgbouncer, which ends when dropped. Any user may log in, and works as the server's
/// superuser.
#[derive(Debug)]
pub struct Pgbouncer {
    folder: PathBuf,
    port: u16,
    _process: Child,
}

impl Pgbouncer {
    /// Starts one that opens at most `servers` connections to the server. None where it is not
    /// installed, which it says; with TASKER_REQUIRE_PGBOUNCER set that is a failure.
    pub async fn start(server: &Embedded, servers: u32) -> Option<Self> {
        let Some(program) = program() else {
            let text = "pgbouncer is neither in PATH nor in /usr/sbin: apt-get install pgbouncer";
            assert!(std::env::var_os("TASKER_REQUIRE_PGBOUNCER").is_none(), "{text}");
            eprintln!("skipped: {text}");
            return None;
        };
        let folder =
            std::env::temp_dir().join(format!("pgbouncer-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.join("pgbouncer.ini");
        fs::write(&config, settings(server, port, servers)).unwrap();
        let mut command = Command::new(program);
        if is_root() {
            // It refuses to run as root.
            command.args(["-u", "nobody"]);
        }
        let log = File::create(folder.join("log")).unwrap();
        command
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let this = Self { folder, port, _process: command.spawn().unwrap() };
        eventually("pgbouncer to answer", SOON, async || {
            this.console().await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Some(this)
    }

    /// Connects to a database by way of it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://console@127.0.0.1:{}/{database}", self.port)
    }

    /// How many connections clients have to `database`, and how many there are to the server.
    pub async fn connections(&self, database: &str) -> (usize, usize) {
        let mut console = self.console().await.unwrap();
        let count = async |console: &mut PgConnection, show: &'static str| {
            let rows = sqlx::raw_sql(show).fetch_all(console).await.unwrap();
            rows.iter().filter(|row| row.get::<&str, _>("database") == database).count()
        };
        (count(&mut console, "show clients").await, count(&mut console, "show servers").await)
    }

    async fn console(&self) -> sqlx::Result<PgConnection> {
        let options: PgConnectOptions = self.url("pgbouncer").parse()?;
        // It refuses parameters that it does not know.
        PgConnection::connect_with(&options.extra_float_digits(None)).await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// The defaults of Debian's package, but for what a test needs.
fn settings(server: &Embedded, port: u16, servers: u32) -> String {
    let url = server.admin_url();
    let (user, password) = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':'))
        .unwrap();
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={} user={user} password={password}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         admin_users = console\n\
         pool_mode = transaction\n\
         default_pool_size = {servers}\n\
         max_client_conn = 500\n",
        server.port()
    )
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]).collect();
    folders.iter().map(|folder| folder.join("pgbouncer")).find(|program| program.is_file())
}
