//! The orchestrator and the workers of a benchmark, as child processes.

use super::{
    BenchArgs, BenchError,
    cpu::{self, Cpu, Snapshot},
    language::Language,
};
use serde::Serialize;
use sqlx::PgPool;
use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// The children. Dropped, they are killed.
pub struct Processes {
    children: Vec<(&'static str, Child)>,
    /// The server's first process, where it is on this host.
    server: Option<u32>,
}

/// The most memory a process has held, in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct PeakRss {
    /// orchestrator or worker.
    pub process: &'static str,
    /// Resident set size at its highest.
    pub bytes: u64,
}

impl Processes {
    /// Starts one orchestrator and the workers of this program, or of a language, by options that
    /// every version has.
    pub fn start(
        program: &Path,
        url: &str,
        namespace: &str,
        args: &BenchArgs,
        language: Option<Language>,
    ) -> Result<Self, BenchError> {
        let start = |args: &[&str]| Ok::<_, BenchError>(command(program, url, args).spawn()?);
        let mut children = vec![("orchestrator", start(&["orchestrator"])?)];
        let concurrency = args.concurrency.to_string();
        for _ in 0..args.workers {
            let child = match language {
                Some(language) => language.worker(url, namespace, args.concurrency).spawn()?,
                None => {
                    start(&["worker", "--namespace", namespace, "--concurrency", &concurrency])?
                }
            };
            children.push(("worker", child));
        }
        Ok(Self { children, server: None })
    }

    /// Waits until every worker has sent a heartbeat.
    pub async fn wait_until_ready(
        &mut self,
        pool: &PgPool,
        namespace: &str,
        at_most: Duration,
    ) -> Result<(), BenchError> {
        let started = Instant::now();
        let workers = self.children.len() as i64 - 1;
        loop {
            self.check()?;
            let seen: i64 = sqlx::query_scalar(
                "select count(*) from tasker.workers where $1 = any (namespaces)",
            )
            .bind(namespace)
            .fetch_one(pool)
            .await?;
            if seen >= workers {
                self.server = cpu::server(pool).await;
                return Ok(());
            }
            if started.elapsed() > at_most {
                return Err(
                    format!("only {seen} of {workers} workers came up within {at_most:?}").into()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An error if a child has ended.
    pub fn check(&mut self) -> Result<(), BenchError> {
        for (name, child) in &mut self.children {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the {name} process ended with {status}").into());
            }
        }
        Ok(())
    }

    /// The most memory each process has held until now.
    pub fn peak_rss(&self) -> Result<Vec<PeakRss>, BenchError> {
        self.children
            .iter()
            .filter_map(|(process, child)| child.id().map(|pid| (*process, pid)))
            .map(|(process, pid)| Ok(PeakRss { process, bytes: peak_rss(pid)? }))
            .collect()
    }

    /// The CPU time used until now.
    pub fn cpu(&self) -> Cpu {
        let now = Snapshot::take();
        let of = |name: &str| {
            let named = self.children.iter().filter(|(child, _)| *child == name);
            named.map(|(_, child)| now.tree(child.id()?)).sum()
        };
        let server = self.server.and_then(|pid| now.tree(pid));
        Cpu { postgresql: server, orchestrator: of("orchestrator"), workers: of("worker") }
    }

    /// Stops all children by SIGTERM and waits for them.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        for (_, child) in &self.children {
            if let Some(pid) = child.id() {
                std::process::Command::new("kill").arg(pid.to_string()).status()?;
            }
        }
        for (name, child) in &mut self.children {
            let status = tokio::time::timeout(Duration::from_secs(20), child.wait())
                .await
                .map_err(|_| format!("the {name} process did not stop within 20 s"))??;
            if !status.success() {
                return Err(format!("the {name} process ended with {status}").into());
            }
        }
        Ok(())
    }
}

/// A command of this program on the database at `url`.
pub fn command(program: &Path, url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("TASKER_DATABASE_URL", url)
        .env_remove("DATABASE_URL")
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Linux keeps the high-water mark; elsewhere `ps` tells the present size.
fn peak_rss(pid: u32) -> Result<u64, BenchError> {
    let kib = match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()),
        Err(_) => {
            let output = std::process::Command::new("ps")
                .args(["-o", "rss=", "-p", &pid.to_string()])
                .output()?;
            String::from_utf8_lossy(&output.stdout).trim().parse().ok()
        }
    };
    Ok(kib.ok_or_else(|| format!("the memory of process {pid} cannot be read"))? * 1024)
}
