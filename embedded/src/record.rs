//! What runs here, written down for other commands: `server.json` in the folder of the server.

use crate::{
    error::{Context, Result},
    postmaster,
    recorded::Recorded,
};
use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The URL of the server that another program runs on `dir` right now.
///
/// None where nothing is recorded, or what is recorded has ended, or does not accept connections.
pub fn recorded_url(dir: impl AsRef<Path>) -> Option<String> {
    recorded(dir).map(|server| server.url)
}

/// As [`recorded_url`], with all that is known.
pub fn recorded(dir: impl AsRef<Path>) -> Option<Recorded> {
    read(dir.as_ref()).filter(is_live)
}

fn read(dir: &Path) -> Option<Recorded> {
    let path = file(dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        Err(e) => {
            tracing::warn!("cannot read {}: {e}", path.display());
            return None;
        }
    };
    match serde_json::from_str(&text) {
        Ok(server) => Some(server),
        Err(e) => {
            tracing::warn!("{} is not a server record: {e}", path.display());
            None
        }
    }
}

fn is_live(server: &Recorded) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    postmaster::alive(&server.data).is_some_and(|state| state.pid == server.pid && !state.stopping)
        && TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

/// Writes the record in one step: readers see the old one or the new one.
pub(crate) fn write(dir: &Path, server: &Recorded) -> Result<()> {
    let path = file(dir);
    let new = path.with_extension("json.new");
    let text = serde_json::to_string_pretty(server)
        .map_err(std::io::Error::from)
        .context("write", &new)?;
    remove_if_there(&new)?;
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .context("create", &new)?;
    file.write_all(text.as_bytes()).context("write", &new)?;
    fs::rename(&new, &path).context("write", &path)
}

pub(crate) fn remove(dir: &Path) -> Result<()> {
    remove_if_there(&file(dir))
}

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("remove", path),
        _ => Ok(()),
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("server.json")
}
