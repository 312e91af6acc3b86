//! The account the server runs as: our own, or for root `postgres`, else `nobody`,
//! since PostgreSQL refuses to run as root.

use crate::error::{Context, Error, Result};
use std::{
    ffi::OsStr,
    fs::{self, File},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

/// Who the server runs as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// Our own user id, also when the server runs as another user.
    pub own_uid: u32,
    /// The server's user and group, where they differ from ours.
    switch: Option<(u32, u32)>,
    /// For messages.
    pub name: &'static str,
}

impl Account {
    /// The account for this process.
    pub fn current() -> Result<Self> {
        let own_uid = own_uid()?;
        if own_uid != 0 {
            return Ok(Self { own_uid, switch: None, name: "this user" });
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id("-u", name), id("-g", name)) {
                return Ok(Self { own_uid, switch: Some((uid, gid)), name });
            }
        }
        Err(Error::NoAccount)
    }

    /// The server's user id.
    pub fn uid(&self) -> u32 {
        self.switch.map_or(self.own_uid, |(uid, _)| uid)
    }

    /// A command that runs as the server's user, in `/` and with a small environment: neither
    /// PGDATA nor a locale from the outside reaches the server.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some((uid, gid)) = self.switch {
            // std drops root's supplementary groups when it sets a uid.
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs a command to its end; what it printed, or as an error what it complained about.
    pub fn run(&self, program: impl AsRef<OsStr>, args: &[&OsStr]) -> Result<String> {
        let program = Path::new(program.as_ref());
        let output = self.command(program).args(args).output().context("run", program)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut said =
            format!("{}, {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        if said.contains("could not look up effective user ID") {
            said.push_str(
                " (PostgreSQL needs a user with a name: add this one to /etc/passwd, or run as \
                 another)",
            );
        }
        Err(Error::Program { program: program.display().to_string(), output: said })
    }

    /// Makes the server's user the owner of a file or folder.
    pub fn own(&self, path: &Path) -> Result<()> {
        match self.switch {
            Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .context("change the owner of", path),
            None => Ok(()),
        }
    }

    /// As [`Account::own`], with everything below, if another user is the owner: an earlier run
    /// used another account for the server.
    pub fn own_tree(&self, folder: &Path) -> Result<()> {
        let Some((uid, gid)) = self.switch else { return Ok(()) };
        if fs::metadata(folder).context("look at", folder)?.uid() == uid {
            return Ok(());
        }
        tracing::info!(folder = %folder.display(), user = self.name, "changing the owner of the \
            data");
        let mut chown = Command::new("chown");
        let output = chown
            .arg("-R")
            .arg(format!("{uid}:{gid}"))
            .arg(folder)
            .output()
            .context("run", "chown")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Program { program: "chown".to_owned(), output: said })
    }

    /// Whether the server's user can enter a folder. Asked by doing it: mode bits do not know of
    /// access lists, mount options, and network file systems.
    pub fn reaches(&self, folder: &Path) -> bool {
        if self.switch.is_none() {
            return true;
        }
        let script = OsStr::new("cd \"$1\"");
        self.run("/bin/sh", &[OsStr::new("-c"), script, OsStr::new("sh"), folder.as_os_str()])
            .is_ok()
    }
}

/// Our effective user id. std has no call for it, but the maker of a pipe owns it.
fn own_uid() -> Result<u32> {
    let (reader, _writer) = std::io::pipe().context("make", "a pipe")?;
    let metadata = File::from(OwnedFd::from(reader)).metadata().context("look at", "a pipe")?;
    Ok(metadata.uid())
}

/// Asks `id`, which knows directory services too. None where there is no such user.
fn id(what: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([what, user]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Creates a folder with this mode, or sets the mode of the one that is there.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(path).context("create", path)?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
        .context("set the mode of", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_uid_is_what_id_says() {
        let output = Command::new("id").arg("-u").output().unwrap();
        let expected: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        assert_eq!(own_uid().unwrap(), expected);
    }

    #[test]
    fn root_runs_the_server_as_somebody_else() {
        let account = Account::current().unwrap();
        assert_ne!(account.uid(), 0);
        let printed = account.run("id", &[OsStr::new("-u")]).unwrap();
        assert_eq!(printed.trim(), account.uid().to_string());
    }

    #[test]
    fn a_folder_of_root_alone_is_out_of_reach() {
        let account = Account::current().unwrap();
        let folder =
            std::env::temp_dir().join(format!("tasker-reach-{}", uuid::Uuid::new_v4().simple()));
        make_folder(&folder.join("inner"), 0o755).unwrap();
        assert!(account.reaches(&folder.join("inner")));
        make_folder(&folder, 0o700).unwrap();
        assert_eq!(account.reaches(&folder.join("inner")), account.own_uid != 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
