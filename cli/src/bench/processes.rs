//! The orchestrator and the workers of a benchmark, as child processes of this same program.

use super::BenchError;
use serde::Serialize;
use sqlx::PgPool;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// The children. Dropped, they are killed.
pub struct Processes {
    children: Vec<(&'static str, Child)>,
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
    /// Starts one orchestrator and `workers` workers.
    pub fn start(url: &str, namespace: &str, workers: u16, concurrency: u32) -> Result<Self, BenchError> {
        let mut children = vec![("orchestrator", spawn(url, &["orchestrator"])?)];
        let concurrency = concurrency.to_string();
        for _ in 0..workers {
            let args = ["worker", "--namespace", namespace, "--concurrency", &concurrency];
            children.push(("worker", spawn(url, &args)?));
        }
        Ok(Self { children })
    }

    /// Waits until every worker has been heard of.
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
            let seen: i64 =
                sqlx::query_scalar("select count(*) from tasker.workers where $1 = any (namespaces)")
                    .bind(namespace)
                    .fetch_one(pool)
                    .await?;
            if seen >= workers {
                return Ok(());
            }
            if started.elapsed() > at_most {
                return Err(format!("only {seen} of {workers} workers came up within {at_most:?}").into());
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

fn spawn(url: &str, args: &[&str]) -> Result<Child, BenchError> {
    Ok(Command::new(std::env::current_exe()?)
        .args(args)
        .env("TASKER_DATABASE_URL", url)
        .env_remove("DATABASE_URL")
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

/// Linux keeps the high-water mark; elsewhere `ps` tells the present size.
fn peak_rss(pid: u32) -> Result<u64, BenchError> {
    let kib = match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()),
        Err(_) => {
            let output =
                std::process::Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output()?;
            String::from_utf8_lossy(&output.stdout).trim().parse().ok()
        }
    };
    Ok(kib.ok_or_else(|| format!("the memory of process {pid} cannot be read"))? * 1024)
}
