//! `postmaster.pid`, the file in which a server says that it runs: read, judged, and
//! put right where its server is gone.

use crate::error::{Context, Result};
use std::{fs, path::Path, process::Command};

/// What the file says. Its lines: pid, data folder, start time, port, socket folder, address,
/// shared memory, state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Postmaster {
    pub pid: u32,
    /// Accepts connections.
    pub ready: bool,
    /// Shuts down.
    pub stopping: bool,
}

/// None where there is no file, or only its beginning yet.
pub(crate) fn read(data: &Path) -> Option<Postmaster> {
    parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
}

fn parse(text: &str) -> Option<Postmaster> {
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    let state = lines.nth(6).map(str::trim);
    Some(Postmaster { pid, ready: state == Some("ready"), stopping: state == Some("stopping") })
}

/// The server that runs on this data folder, as far as its pid file tells the truth.
pub(crate) fn alive(data: &Path) -> Option<Postmaster> {
    read(data).filter(|state| is_server_on(state.pid, data))
}

/// Whether the process is a server on this data folder, and not another one that got the same pid
/// (likely in containers, where pids are small and come in the same order every time).
fn is_server_on(pid: u32, data: &Path) -> bool {
    command_line(pid).is_some_and(|line| names_server_on(&line, &data.to_string_lossy()))
}

fn names_server_on(line: &str, data: &str) -> bool {
    let is_postmaster = line.contains("postgres") && !line.starts_with("postgres: ");
    // One started by hand with a relative folder: rather believe the pid file.
    is_postmaster && (line.contains(data) || !line.contains("-D /"))
}

/// A process's command line, words separated by spaces (empty: a zombie); None where there is no
/// such process.
fn command_line(pid: u32) -> Option<String> {
    // Not every container has ps, and macOS has no /proc.
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = bytes.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        return Some(words.join(" "));
    }
    let pid = pid.to_string();
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Prepares the pid file of a server that is gone for the next start. Without its state line nobody
/// takes it for ready; the rest stays, since the server finds leftover shared memory by it. Only
/// where another process has the pid by now it is removed: the server would take that process for
/// itself and refuse.
pub(crate) fn retire(data: &Path) -> Result<()> {
    let path = data.join("postmaster.pid");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).context("read", path),
    };
    let pid = parse(&text).map(|state| state.pid);
    tracing::info!(?pid, "PostgreSQL was not shut down; recovering");
    if pid.is_none_or(|pid| command_line(pid).is_some()) {
        return fs::remove_file(&path).context("remove", path);
    }
    let kept: String = text.lines().take(7).flat_map(|line| [line, "\n"]).collect();
    fs::write(&path, kept).context("write", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "4711\n/tmp/data\n1700000000\n5432\n/tmp\n127.0.0.1\n  12  34\nready   \n";

    #[test]
    fn the_file_is_understood() {
        assert_eq!(parse(FILE), Some(Postmaster { pid: 4711, ready: true, stopping: false }));
        assert_eq!(
            parse("4711\n/tmp\n"),
            Some(Postmaster { pid: 4711, ready: false, stopping: false })
        );
        assert!(parse(&FILE.replace("ready   ", "stopping")).unwrap().stopping);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn only_a_server_on_the_same_folder_counts() {
        let ours = "/usr/lib/postgresql/15/bin/postgres -D /tmp/data -c port=5433";
        assert!(names_server_on(ours, "/tmp/data"));
        assert!(names_server_on("/usr/lib/postgresql/15/bin/postgres -D data", "/tmp/data"));
        assert!(!names_server_on("postgres -D /other/data", "/tmp/data"));
        assert!(!names_server_on("postgres: checkpointer", "/tmp/data"));
        assert!(!names_server_on("sleep 60", "/tmp/data"));
        assert!(command_line(std::process::id()).is_some());
    }

    #[test]
    fn the_file_of_a_server_that_is_gone_no_longer_says_ready() {
        let data =
            std::env::temp_dir().join(format!("tasker-pid-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&data).unwrap();
        let path = data.join("postmaster.pid");
        retire(&data).unwrap();

        fs::write(&path, FILE.replace("4711", "4194305")).unwrap();
        retire(&data).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("  12  34\n"));
        assert!(!read(&data).unwrap().ready);

        fs::write(&path, FILE.replace("4711", &std::process::id().to_string())).unwrap();
        assert_eq!(alive(&data), None);
        retire(&data).unwrap();
        assert!(!path.exists(), "its pid belongs to another process now");
        fs::remove_dir_all(&data).unwrap();
    }
}
