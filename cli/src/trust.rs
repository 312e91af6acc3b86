//! Files of the current folder say where keys and tasks are sent: only what nobody else could have
//! put there is believed.

use crate::error::{Error, Result};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Lets pass what belongs to us or root and is not writable by everybody; also what does not exist.
///
/// # Errors
/// Another user could have written it.
pub fn check(path: &Path) -> Result<()> {
    // A link is the work of who made it, wherever it leads.
    for look in [fs::symlink_metadata(path), fs::metadata(path)] {
        let Ok(found) = look else { return Ok(()) };
        let path = path.display();
        if found.uid() != rustix::process::geteuid().as_raw() && found.uid() != 0 {
            return Err(Error::new(format!(
                "{path} belongs to another user (uid {}): it is not read",
                found.uid()
            ))
            .or_hint(format!(
                "look at it, then name it (--config FILE, --database-url URL) or make it yours: \
                 chown {path}"
            )));
        }
        if !found.is_symlink() && found.mode() & 0o002 != 0 {
            return Err(Error::new(format!("everybody may write {path}: it is not read"))
                .or_hint(format!("look at it, then: chmod o-w {path}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[test]
    fn what_others_could_have_written_is_refused() {
        let folder =
            std::env::temp_dir().join(format!("tasker-trust-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("tasker.toml");
        assert!(check(&file).is_ok());
        fs::write(&file, "").unwrap();
        assert!(check(&file).is_ok());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o646)).unwrap();
        assert!(format!("{:?}", check(&file).unwrap_err()).contains("everybody may write"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let link = folder.join("link");
        symlink(&file, &link).unwrap();
        assert!(check(&link).is_ok());
        // Only root may give files away.
        if rustix::process::geteuid().is_root() {
            chown(&file, Some(65_534), None).unwrap();
            for path in [&file, &link] {
                assert!(format!("{:?}", check(path).unwrap_err()).contains("another user"));
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
