//! CPU time of PostgreSQL's processes and of our own, from Linux's /proc.

use serde::Serialize;
use sqlx::PgPool;
use std::{collections::HashMap, fs};

/// Ticks a second in /proc: 100 for every program on Linux, whatever the kernel's own clock.
const TICKS: f64 = 100.0;

/// CPU seconds, or of two moments the difference; none where they cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// All processes of the server.
    pub postgresql: Option<f64>,
    pub orchestrator: Option<f64>,
    pub workers: Option<f64>,
}

impl Cpu {
    /// To divide what is a difference already.
    pub const NOTHING: Self =
        Self { postgresql: Some(0.0), orchestrator: Some(0.0), workers: Some(0.0) };

    pub fn total(&self) -> Option<f64> {
        Some(self.postgresql? + self.orchestrator? + self.workers?)
    }

    /// What was used since `before`, divided into `parts`.
    pub fn since(&self, before: &Self, parts: f64) -> Self {
        let each = |after: Option<f64>, before: Option<f64>| Some((after? - before?) / parts);
        Self {
            postgresql: each(self.postgresql, before.postgresql),
            orchestrator: each(self.orchestrator, before.orchestrator),
            workers: each(self.workers, before.workers),
        }
    }
}

/// A process in /proc.
struct Process {
    parent: u32,
    /// Its own time, and that of its children that have ended.
    seconds: f64,
}

/// Every process at one moment.
pub struct Snapshot(HashMap<u32, Process>);

impl Snapshot {
    /// Empty where there is no /proc.
    pub fn take() -> Self {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(pids.filter_map(|pid| Some((pid, read(pid)?))).collect())
    }

    /// CPU seconds of a process and all below it; those that have ended are in their parents' time.
    pub fn tree(&self, root: u32) -> Option<f64> {
        let mut seconds = self.0.get(&root)?.seconds;
        let mut parents = vec![root];
        while let Some(parent) = parents.pop() {
            for (pid, process) in self.0.iter().filter(|(_, process)| process.parent == parent) {
                seconds += process.seconds;
                parents.push(*pid);
            }
        }
        Some(seconds)
    }
}

fn read(pid: u32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state ppid …`; a name may hold blanks and parentheses.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // utime, stime, cutime, cstime
    let ticks: Option<Vec<f64>> =
        fields.get(11..15)?.iter().map(|field| field.parse().ok()).collect();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        seconds: ticks?.iter().sum::<f64>() / TICKS,
    })
}

/// The first process of the server behind a pool; none where it runs on another host.
pub async fn server(pool: &PgPool) -> Option<u32> {
    let mut connection = pool.acquire().await.ok()?;
    let (pid, database): (i32, String) =
        sqlx::query_as("select pg_backend_pid(), current_database()")
            .fetch_one(&mut *connection)
            .await
            .ok()?;
    // The process of this number here may be another one than there.
    let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let title = String::from_utf8_lossy(&title).into_owned();
    let ours = title.starts_with("postgres") && title.contains(&database);
    read(pid.try_into().ok()?).filter(|_| ours).map(|backend| backend.parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_no_field() {
        let stat = "17 (a) b (c) S 4 17 17 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 9 1 1";
        let process = parse(stat).unwrap();
        assert_eq!((process.parent, process.seconds), (4, 3.0));
    }

    #[test]
    fn children_of_children_count() {
        let process = |parent, seconds| Process { parent, seconds };
        let all = [
            (2, process(1, 1.0)),
            (3, process(2, 2.0)),
            (4, process(3, 4.0)),
            (5, process(1, 8.0)),
        ];
        let snapshot = Snapshot(all.into());
        assert_eq!((snapshot.tree(2), snapshot.tree(9)), (Some(7.0), None));
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let before = Cpu { postgresql: Some(1.0), orchestrator: None, workers: Some(0.5) };
        let after = Cpu { postgresql: Some(3.0), orchestrator: Some(1.0), workers: Some(1.5) };
        let each = after.since(&before, 2.0);
        assert_eq!(each, Cpu { postgresql: Some(1.0), orchestrator: None, workers: Some(0.5) });
        assert_eq!((each.total(), after.total()), (None, Some(5.5)));
    }
}
