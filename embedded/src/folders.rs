//! Where things are: the folder of a cluster, and a private folder in the temporary directory
//! for what the server's user could not reach elsewhere.

use crate::{
    account::{Account, make_folder},
    error::{Context, Error, Result},
};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The longest path of a Unix socket, without its terminating zero: 107 on Linux, 103 on macOS.
const SOCKET_PATH_LIMIT: usize = 103;
/// What PostgreSQL appends to the folder: `/.s.PGSQL.65535.lock` is longer, but only a file.
const SOCKET_NAME: usize = "/.s.PGSQL.65535".len();

/// Less room than this in memory (containers have 64 MiB unless told otherwise) is left alone, in
/// bytes.
const MEMORY_ROOM: u64 = 2 << 30;

/// The folders of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// Ours: password, log, and the three below.
    pub root: PathBuf,
    /// The server's data folder.
    pub data: PathBuf,
    /// The server's: its socket, and the mark that asks its watcher for a restart.
    pub run: PathBuf,
}

impl Home {
    /// The layout below a folder.
    pub fn new(root: PathBuf, run: PathBuf) -> Self {
        Self { data: root.join("data"), run, root }
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }
}

/// The home of the cluster that belongs to `dir`: `dir` itself, or where the server's user cannot
/// reach it, a folder in the temporary directory that is the same one for the same `dir`.
pub(crate) fn home(dir: &Path, account: &Account) -> Result<Home> {
    let dir = make_own(dir)?;
    let root = if account.reaches(&dir) {
        dir.clone()
    } else {
        let root = private_temporary(account)?.join(keyed_name(&dir));
        make_folder(&root, 0o711)?;
        root
    };
    let mut run = root.join("run");
    if run.as_os_str().len() + SOCKET_NAME > SOCKET_PATH_LIMIT {
        run = short_temporary(account)?.join(format!("run-{:016x}", hash(&root)));
    }
    Ok(Home::new(root, run))
}

/// Creates the folder with a `.gitignore`, so that no password is ever committed; its real path.
fn make_own(dir: &Path) -> Result<PathBuf> {
    if !dir.is_dir() {
        make_folder(dir, 0o711)?;
        let ignore = dir.join(".gitignore");
        fs::write(&ignore, "*\n").context("write", ignore)?;
    }
    dir.canonicalize().context("find", dir)
}

/// `/tmp/tasker-<uid>`: ours alone, passed through by the server's user.
///
/// # Errors
/// Another user made it first: they could put their own programs and data there.
pub(crate) fn private_temporary(account: &Account) -> Result<PathBuf> {
    let temporary = std::env::temp_dir();
    match account.reaches(&temporary) {
        true => private_below(&temporary, account),
        false => short_temporary(account),
    }
}

/// As [`private_temporary`], always below `/tmp`: TMPDIR can be long (macOS) or out of reach.
fn short_temporary(account: &Account) -> Result<PathBuf> {
    private_below(Path::new("/tmp"), account)
}

/// Where throwaway servers have their data: in memory where there is room, unless TMPDIR says where
/// temporary things go. Their thousand files come and go at every start; on a disk that takes half
/// of it.
pub(crate) fn throwaway_parent(account: &Account) -> Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none()
        && free_space(memory).is_some_and(|free| free >= MEMORY_ROOM)
        && account.reaches(memory)
    {
        return private_below(memory, account);
    }
    private_temporary(account)
}

/// In bytes; None where there is no such folder (macOS, or a container without it).
fn free_space(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    let kibibytes: u64 = printed.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    output.status.success().then_some(kibibytes * 1024)
}

fn private_below(temporary: &Path, account: &Account) -> Result<PathBuf> {
    let temporary = temporary.canonicalize().context("find", temporary)?;
    let path = temporary.join(format!("tasker-{}", account.own_uid));
    match fs::create_dir(&path) {
        Ok(()) => make_folder(&path, 0o711)?,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e).context("create", path),
    }
    let metadata = fs::symlink_metadata(&path).context("look at", &path)?;
    if !metadata.is_dir() || metadata.uid() != account.own_uid || metadata.mode() & 0o022 != 0 {
        return Err(Error::NotPrivate { path });
    }
    Ok(path)
}

/// Where downloaded binaries may be, the preferred folder first.
pub(crate) fn download_caches(account: &Account) -> Vec<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("tasker/postgresql"));
    let temporary = private_temporary(account).map(|folder| folder.join("postgresql"));
    cache.into_iter().chain(temporary.ok()).collect()
}

/// `shop-1f0e…`: readable, and unlike for two folders of the same name.
fn keyed_name(dir: &Path) -> String {
    let project = dir.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let readable: String =
        project.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(20).collect();
    format!("{readable}-{:016x}", hash(dir))
}

/// FNV-1a: std's hasher may differ between Rust versions, and a folder must be found again.
pub(crate) fn hash(path: impl AsRef<std::ffi::OsStr>) -> u64 {
    path.as_ref().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_stable_readable_and_of_the_whole_path() {
        let name = keyed_name(Path::new("/root/my shop/.tasker"));
        assert_eq!(name, keyed_name(Path::new("/root/my shop/.tasker")));
        assert!(name.starts_with("myshop-"), "{name}");
        assert_ne!(name, keyed_name(Path::new("/home/my shop/.tasker")));
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c, "the published FNV-1a value");
    }

    #[test]
    fn a_long_path_gets_a_short_socket_folder() {
        let account = Account::current().unwrap();
        let base =
            std::env::temp_dir().join(format!("tasker-long-{}", uuid::Uuid::new_v4().simple()));
        make_folder(&base, 0o755).unwrap();
        let long = base.join("d".repeat(60)).join("e".repeat(60));
        let home = home(&long, &account).unwrap();
        assert_eq!(home.root, long.canonicalize().unwrap());
        assert!(
            home.run.as_os_str().len() + SOCKET_NAME <= SOCKET_PATH_LIMIT,
            "{}",
            home.run.display()
        );
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn free_space_is_told_where_there_is_a_folder() {
        assert!(free_space(&std::env::temp_dir()).unwrap() > 0);
        assert_eq!(free_space(Path::new("/no/such/folder")), None);
    }

    #[test]
    fn a_folder_others_can_write_is_refused() {
        let account = Account::current().unwrap();
        let base =
            std::env::temp_dir().join(format!("tasker-private-{}", uuid::Uuid::new_v4().simple()));
        let path = base.join(format!("tasker-{}", account.own_uid));
        make_folder(&path, 0o777).unwrap();
        let error = private_below(&base, &account).unwrap_err();
        assert!(matches!(error, Error::NotPrivate { .. }), "{error}");
        fs::remove_dir_all(&base).unwrap();
    }
}
