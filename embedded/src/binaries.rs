//! Finds an installed PostgreSQL: a named folder, pg_config, the usual folders, PATH, and
//! what an earlier run downloaded. Versions below 15 are passed over.

use crate::{
    account::Account,
    error::{Error, Result},
    folders,
};
use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest major version Tasker works with.
pub(crate) const OLDEST: u32 = 15;

/// The environment variable that names the folder of the binaries.
pub(crate) const VARIABLE: &str = "TASKER_PG_BIN";

/// A folder with the programs of PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub dir: PathBuf,
    /// `15.18`, `19beta1`.
    pub version: String,
    pub major: u32,
    /// All that `postgres -V` says, packager's suffix included.
    pub full_version: String,
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.version, self.dir.display())
    }
}

/// Looks at one folder; the error says why it cannot be used.
pub(crate) fn probe(dir: &Path, account: &Account) -> Result<Binaries, String> {
    for program in ["postgres", "initdb"] {
        if !dir.join(program).is_file() {
            return Err(format!("it has no program {program}"));
        }
    }
    let full_version = account.run(dir.join("postgres"), &[OsStr::new("-V")]).map_err(|e| {
        format!(
            "its postgres cannot be run as {} ({e}); is the folder readable for that user?",
            account.name
        )
    })?;
    let (version, major) = parse_version(&full_version)
        .ok_or_else(|| format!("its postgres -V says {:?}", full_version.trim()))?;
    if major < OLDEST {
        return Err(format!("it is PostgreSQL {version}, and Tasker needs {OLDEST} or newer"));
    }
    Ok(Binaries { dir: dir.to_owned(), version, major, full_version })
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → `("15.18", 15)`.
fn parse_version(text: &str) -> Option<(String, u32)> {
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_owned(), digits.parse().ok()?))
}

/// The folder the caller named, else the one in TASKER_PG_BIN.
pub(crate) fn named(bin: Option<&Path>, account: &Account) -> Result<Option<Binaries>> {
    let (named_by, path) = match bin {
        Some(path) => ("the folder given for PostgreSQL's programs", path.to_owned()),
        None => match std::env::var_os(VARIABLE) {
            Some(path) if !path.is_empty() => (VARIABLE, PathBuf::from(path)),
            _ => return Ok(None),
        },
    };
    let absolute = std::path::absolute(&path).unwrap_or(path);
    match probe(&absolute, account) {
        Ok(binaries) => Ok(Some(binaries)),
        Err(why) => Err(Error::BadBinFolder { named_by, path: absolute, why }),
    }
}

/// The first usable folder; with `major` (of data that is there already) the first of that version,
/// or another one if that is missing.
pub(crate) fn first_usable(
    folders: Vec<PathBuf>,
    major: Option<u32>,
    account: &Account,
) -> Result<Binaries, String> {
    let mut other = None;
    let mut passed_over = Vec::new();
    for dir in folders {
        match probe(&dir, account) {
            Ok(found) if major.is_none_or(|major| major == found.major) => return Ok(found),
            Ok(found) => other = other.or(Some(found)),
            // A pg_config or a PATH without a server is nothing to report.
            Err(_) if !dir.join("postgres").is_file() => {}
            Err(why) => passed_over.push(format!("{}: {why}", dir.display())),
        }
    }
    other.ok_or_else(|| match passed_over.is_empty() {
        true => "neither pg_config, the usual folders, nor PATH lead to one".to_owned(),
        false => passed_over.join("; "),
    })
}

/// Every folder in which a PostgreSQL may be, in the order of preference.
pub(crate) fn usual_folders(account: &Account) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = pg_config().into_iter().collect();
    for (parent, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/usr/libexec", "postgresql", ""),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        folders.extend(newest_first(Path::new(parent), prefix, suffix));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path).filter(|dir| dir.is_absolute()));
    }
    for cache in folders::download_caches(account) {
        folders.extend(newest_first(&cache, "", "bin"));
    }
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    let printed = printed.trim();
    (output.status.success() && !printed.is_empty()).then(|| PathBuf::from(printed))
}

/// `parent/prefix*/suffix`, the highest version number first.
fn newest_first(parent: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(prefix)?;
            let folder = if suffix.is_empty() { entry.path() } else { entry.path().join(suffix) };
            folder.is_dir().then(|| (numbers(rest), folder))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder).collect()
}

/// `@15.2` → `[15, 2]`, so that 9 sorts below 15.
fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::make_folder;
    use std::{fs, os::unix::fs::PermissionsExt};

    /// A folder whose `postgres -V` prints what it is told.
    fn fake(parent: &Path, name: &str, version: &str) -> PathBuf {
        let dir = parent.join(name).join("bin");
        make_folder(parent, 0o755).unwrap();
        make_folder(&dir, 0o755).unwrap();
        for program in ["postgres", "initdb"] {
            let path = dir.join(program);
            fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    fn temporary() -> PathBuf {
        std::env::temp_dir().join(format!("tasker-bin-{}", uuid::Uuid::new_v4().simple()))
    }

    #[test]
    fn versions_are_understood() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some(("15.18".into(), 15)));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta1"), Some(("19beta1".into(), 19)));
        assert_eq!(parse_version("psql"), None);
    }

    #[test]
    fn the_newest_comes_first_and_old_ones_are_passed_over() {
        let root = temporary();
        let account = Account::current().unwrap();
        for (name, version) in [("9.6", "9.6.24"), ("15", "15.2"), ("18", "18.1"), ("14", "14.9")] {
            fake(&root, name, version);
        }
        let folders = newest_first(&root, "", "bin");
        let names: Vec<_> =
            folders.iter().map(|f| f.strip_prefix(&root).unwrap().to_owned()).collect();
        assert_eq!(names, ["18/bin", "15/bin", "14/bin", "9.6/bin"].map(PathBuf::from));

        assert_eq!(first_usable(folders.clone(), None, &account).unwrap().version, "18.1");
        assert_eq!(first_usable(folders.clone(), Some(15), &account).unwrap().version, "15.2");
        assert_eq!(first_usable(folders, Some(16), &account).unwrap().version, "18.1");
        let why = first_usable(vec![root.join("14/bin")], None, &account).unwrap_err();
        assert!(why.contains("it is PostgreSQL 14.9, and Tasker needs 15 or newer"), "{why}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_named_folder_without_a_server_is_an_error() {
        let account = Account::current().unwrap();
        let error = named(Some(Path::new("/usr/share")), &account).unwrap_err().to_string();
        assert!(error.contains("/usr/share but it has no program postgres"), "{error}");
    }
}
