//! Data folders: made by initdb, or copied from a template for throwaway servers.

use crate::{
    account::{Account, make_folder},
    binaries::Binaries,
    error::{Context, Error, Result},
    folders::{self, Home},
    record::remove_if_there,
};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// The superuser that initdb makes.
pub(crate) const SUPERUSER: &str = "postgres";

/// A template older than this is made afresh: cleaners of the temporary directory remove old files
/// one by one, and half a template is worse than none.
const TEMPLATE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Makes the data folder of a lasting cluster if it is not there; the superuser's password.
pub(crate) fn ensure(home: &Home, binaries: &Binaries, account: &Account) -> Result<String> {
    make_run_folder(home, account)?;
    let password = home.root.join("password");
    match made_by(&home.data)? {
        Some(made_by) if made_by != binaries.major => Err(Error::OtherVersion {
            data: home.data.clone(),
            made_by,
            found: binaries.to_string(),
        }),
        Some(_) => {
            account.own_tree(&home.data)?;
            match fs::read_to_string(&password) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::Damaged {
                    path: home.data.clone(),
                    why: "has lost the file password beside it",
                }),
                Err(e) => Err(e).context("read", password),
            }
        }
        None => {
            tracing::info!(
                data = %home.data.display(),
                version = %binaries.version,
                "creating a PostgreSQL cluster"
            );
            initdb(&home.root, &[], binaries, account)
        }
    }
}

/// The major version that made the data folder; None where there is no data yet.
pub(crate) fn made_by(data: &Path) -> Result<Option<u32>> {
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => {
                Err(Error::Damaged { path: data.to_owned(), why: "has an unreadable PG_VERSION" })
            }
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => match data.exists() {
            true => Err(Error::Damaged {
                path: data.to_owned(),
                why: "is not a PostgreSQL data folder",
            }),
            false => Ok(None),
        },
        Err(e) => Err(e).context("read", data.join("PG_VERSION")),
    }
}

/// A clean folder for the socket, the server's. Its old content is of a server that is gone: a
/// socket's lock file with a pid that another process has by now would stop the next one.
fn make_run_folder(home: &Home, account: &Account) -> Result<()> {
    if home.run.exists() {
        fs::remove_dir_all(&home.run).context("remove", &home.run)?;
    }
    make_folder(&home.run, 0o700)?;
    account.own(&home.run)
}

/// Makes `data` and `password` in `root`. Under another name first: a half-made one is never taken
/// for data.
fn initdb(root: &Path, options: &[&str], binaries: &Binaries, account: &Account) -> Result<String> {
    remove_half_made(root)?;
    let secret = Uuid::new_v4().simple().to_string();
    let password = root.join("password");
    remove_if_there(&password)?;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&password)
        .and_then(|mut file| file.write_all(format!("{secret}\n").as_bytes()))
        .context("write", &password)?;
    // initdb reads it as the server's user; nobody else does.
    account.own(&password)?;
    let data = root.join(format!("new-{}", Uuid::new_v4().simple()));
    make_folder(&data, 0o700)?;
    account.own(&data)?;

    let mut pwfile = std::ffi::OsString::from("--pwfile=");
    pwfile.push(&password);
    let mut args: Vec<&OsStr> = vec![OsStr::new("-D"), data.as_os_str(), &pwfile];
    let fixed = ["--username=postgres", "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8"];
    args.extend(fixed.iter().chain(options).map(OsStr::new));
    account.run(binaries.dir.join("initdb"), &args)?;
    fs::rename(&data, root.join("data")).context("rename", &data)?;
    Ok(secret)
}

fn remove_half_made(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).context("read", root)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("new-") {
            fs::remove_dir_all(entry.path()).context("remove", entry.path())?;
        }
    }
    Ok(())
}

/// The data folder to copy for a throwaway server.
#[derive(Debug)]
pub(crate) struct Template {
    pub data: PathBuf,
    pub password: String,
    /// Shared as long as it is copied from; its maker holds it alone.
    _lock: File,
}

/// The template for these binaries, made by the first process that needs it. Blocks while another
/// process makes it.
pub(crate) fn template(binaries: &Binaries, account: &Account) -> Result<Template> {
    let templates = folders::private_temporary(account)?.join("templates");
    make_folder(&templates, 0o711)?;
    let identity = format!("{}{}{}", binaries.full_version, binaries.dir.display(), account.uid());
    let name = format!("{}-{:016x}", binaries.version, folders::hash(&identity));
    let (root, lock_path) = (templates.join(&name), templates.join(format!("{name}.lock")));
    loop {
        let lock = File::options().create(true).append(true).mode(0o600).open(&lock_path);
        let lock = lock.context("open", &lock_path)?;
        lock.lock_shared().context("lock", &lock_path)?;
        if let Some(password) = usable(&root) {
            return Ok(Template { data: root.join("data"), password, _lock: lock });
        }
        lock.unlock().context("unlock", &lock_path)?;
        lock.lock().context("lock", &lock_path)?;
        if usable(&root).is_none() {
            make_template(&root, binaries, account)?;
        }
    }
}

fn make_template(root: &Path, binaries: &Binaries, account: &Account) -> Result<()> {
    tracing::debug!(root = %root.display(), "making a template for throwaway PostgreSQL clusters");
    if root.exists() {
        fs::remove_dir_all(root).context("remove", root)?;
    }
    make_folder(root, 0o711)?;
    initdb(root, &["--no-sync"], binaries, account)?;
    fs::write(root.join("made"), "").context("write", root.join("made"))
}

/// The password of a template that is complete and fresh.
fn usable(root: &Path) -> Option<String> {
    let made = fs::metadata(root.join("made")).ok()?.modified().ok()?;
    if made.elapsed().is_ok_and(|age| age < TEMPLATE_AGE) {
        return Some(fs::read_to_string(root.join("password")).ok()?.trim().to_owned());
    }
    None
}

/// A new home for a throwaway server, in a folder in which its watcher may delete it.
pub(crate) fn throwaway_home(account: &Account) -> Result<Home> {
    let parent = folders::throwaway_parent(account)?.join("throwaway");
    make_folder(&parent, 0o700)?;
    account.own(&parent)?;
    let root = parent.join(&Uuid::new_v4().simple().to_string()[..12]);
    make_folder(&root, 0o700)?;
    account.own(&root)?;
    Ok(Home::new(root.clone(), root))
}
