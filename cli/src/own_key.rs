//! The key that `tasker up` makes for its HTTP API and keeps in [`FOLDER`]: who may read that
//! folder's files may use the API, and commands run there bring the key by themselves.

use crate::{
    database::FOLDER,
    error::{Error, Result},
    trust,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The key, and where it is for.
const KEY: &str = "api.json";
/// What the server checks it by.
const KEYS: &str = "api-keys.toml";
/// What the audit calls who uses it.
const NAME: &str = "up";

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    url: Option<String>,
}

/// The keys file of `tasker up`, created if missing.
///
/// # Errors
/// The folder cannot be written, or somebody else could have.
pub fn keys_file() -> Result<PathBuf> {
    let folder = Path::new(FOLDER);
    if !folder.exists() {
        fs::DirBuilder::new().mode(0o711).create(folder).map_err(|error| told(error, folder))?;
        let ignore = folder.join(".gitignore");
        fs::write(&ignore, "*\n").map_err(|error| told(error, &ignore))?;
    }
    trust::check(folder)?;
    let keys = folder.join(KEYS);
    if kept().is_none() || !keys.is_file() {
        let made = pgtasker_api::new_key(NAME, &["*".to_owned()], &[])?;
        write(&keys, &made.toml)?;
        keep(&Kept { key: made.key, url: None })?;
    }
    Ok(keys)
}

/// Where the API is served now.
///
/// # Errors
/// The folder cannot be written.
pub fn is_at(url: &str) -> Result<()> {
    match kept() {
        Some(kept) => keep(&Kept { url: Some(url.to_owned()), ..kept }),
        None => Ok(()),
    }
}

/// The file with the key, for people.
pub fn place() -> PathBuf {
    Path::new(FOLDER).join(KEY)
}

/// The key for the API at this URL, where it is the one that `tasker up` serves from this folder.
pub fn of(url: &str) -> Option<String> {
    trust::check(Path::new(FOLDER)).ok()?;
    let kept = kept()?;
    (kept.url?.trim_end_matches('/') == url.trim_end_matches('/')).then_some(kept.key)
}

fn kept() -> Option<Kept> {
    serde_json::from_str(&fs::read_to_string(place()).ok()?).ok()
}

fn keep(kept: &Kept) -> Result<()> {
    write(&place(), &serde_json::to_string_pretty(kept)?)
}

/// Readable for us alone from its first byte.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::remove_file(&new).ok();
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| told(error, path))
}

fn told(error: std::io::Error, path: &Path) -> Error {
    Error::from(error).context(format!("cannot write {}", path.display()))
}
