//! API keys: a file with their hashes. Keys are 256 random bits, so that a plain hash of one cannot
//! be guessed.

use super::{Caller, permission::Permissions};
use crate::error::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

/// How soon a changed file takes effect.
const LOOK: Duration = Duration::from_secs(1);
/// What every key begins with, so that scanners for secrets know one.
const PREFIX: &str = "tk_";

/// A key that was made just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key itself: shown once, kept nowhere.
    pub key: String,
    /// The lines for the keys file.
    pub toml: String,
}

/// Makes a key; `permissions` are names such as `tasks:read`, or `*`; without `namespaces` it is
/// for all of them.
///
/// # Errors
/// A name or permission that the keys file could not have.
pub fn new_key(name: &str, permissions: &[String], namespaces: &[String]) -> Result<NewKey> {
    // Each has 122 bits from the system's generator: together more than the hash keeps.
    let mut seed = Sha256::new();
    for _ in 0..3 {
        seed.update(Uuid::new_v4().as_bytes());
    }
    let key = format!("{PREFIX}{}", hex(&seed.finalize()));
    let list: Vec<String> = permissions.iter().map(|word| quoted(word)).collect();
    let hash = hex(&Sha256::digest(key.as_bytes()));
    let mut toml = format!(
        "[[key]]\nname = {}\nsha256 = \"{hash}\"\npermissions = [{}]\n",
        quoted(name),
        list.join(", ")
    );
    if !namespaces.is_empty() {
        let list: Vec<String> = namespaces.iter().map(|name| quoted(name)).collect();
        toml.push_str(&format!("namespaces = [{}]\n", list.join(", ")));
    }
    parse(&toml).map_err(Error::Keys)?;
    Ok(NewKey { key, toml })
}

/// A string of JSON is one of TOML as well.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    permissions: Permissions,
    namespaces: Option<Vec<String>>,
}

#[derive(Debug)]
struct Key {
    hash: [u8; 32],
    caller: Caller,
}

/// The keys of a file.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    keys: RwLock<Arc<Vec<Key>>>,
}

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is not a keys file.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let text = read(path).map_err(Error::Keys)?;
        let keys =
            parse(&text).map_err(|error| Error::Keys(format!("{}: {error}", path.display())))?;
        if is_writable_by_others(path) {
            tracing::warn!(
                "everybody may write the keys file {path}, and could add keys: chmod o-w {path}",
                path = path.display()
            );
        }
        if keys.is_empty() {
            tracing::warn!(file = %path.display(), "the keys file has no keys: no key is accepted");
        }
        let keys = Arc::new(Self { path: path.to_owned(), keys: RwLock::new(Arc::new(keys)) });
        tokio::spawn(Arc::clone(&keys).watch(text));
        Ok(keys)
    }

    /// The owner of this key. All hashes are compared, each in constant time.
    pub fn find(&self, key: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let mut found = u32::MAX;
        for (n, key) in (0..u32::MAX).zip(keys.iter()) {
            let same: Choice = key.hash.ct_eq(&hash);
            found.conditional_assign(&n, same);
        }
        keys.get(usize::try_from(found).ok()?).map(|key| key.caller.clone())
    }

    /// Takes the file's changes while it is in use; a broken file changes nothing.
    async fn watch(self: Arc<Self>, mut last: String) {
        loop {
            tokio::time::sleep(LOOK).await;
            if Arc::strong_count(&self) == 1 {
                return;
            }
            let (path, before) = (self.path.clone(), last.clone());
            let looked = tokio::task::spawn_blocking(move || {
                // An unreadable file has no text that could change: said once.
                let text = read(&path).unwrap_or_else(|error| format!("\u{0}{error}"));
                (text != before).then_some(text)
            });
            let Ok(Some(text)) = looked.await else { continue };
            self.take(&text);
            last = text;
        }
    }

    fn take(&self, text: &str) {
        match parse(text) {
            Ok(keys) => {
                tracing::info!(file = %self.path.display(), keys = keys.len(), "the keys were \
                    read again");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "the keys file is broken: \
                    the previous keys stay valid");
            }
        }
    }
}

fn is_writable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o002 != 0)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    if let Some(unreadable) = text.strip_prefix('\u{0}') {
        return Err(unreadable.to_owned());
    }
    // Without the text of the line: someone may have written a key where its hash belongs.
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut names = std::collections::BTreeSet::new();
    file.key
        .into_iter()
        .map(|Entry { name, sha256, permissions, namespaces }| {
            if name.is_empty() || name.chars().any(super::is_hidden) {
                return Err("a key needs a name in one line".to_owned());
            }
            if !names.insert(name.clone()) {
                return Err(format!("there are two keys with the name {name:?}"));
            }
            let hash = unhex(&sha256).ok_or_else(|| {
                format!(
                    "sha256 of key {name:?} must be 64 hexadecimal digits, as `tasker key new` \
                     prints them"
                )
            })?;
            let namespaces = namespaces.map(super::limit_of).transpose();
            let namespaces = namespaces.map_err(|problem| format!("key {name:?}: {problem}"))?;
            Ok(Key {
                hash,
                caller: Caller { name: Some(format!("key:{name}")), permissions, namespaces },
            })
        })
        .collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_found_by_its_hash_only_and_is_another_each_time() {
        let made = new_key("ci \"two\"", &["tasks:read".to_owned()], &[]).unwrap();
        assert!(
            made.key.starts_with(PREFIX)
                && made.key.len() == 67
                && !made.toml.contains(&made.key[3..])
        );
        let keys =
            Keys { path: PathBuf::new(), keys: RwLock::new(Arc::new(parse(&made.toml).unwrap())) };
        assert_eq!(keys.find(&made.key).unwrap().name.as_deref(), Some("key:ci \"two\""));
        assert!(keys.find("tk_other").is_none() && keys.find("").is_none());
        assert_ne!(new_key("a", &[], &[]).unwrap().key, new_key("a", &[], &[]).unwrap().key);
    }

    #[test]
    fn a_broken_file_or_none_leaves_the_keys_of_before() {
        let [old, new] = ["old", "new"].map(|name| new_key(name, &[], &[]).unwrap());
        let keys =
            Keys { path: PathBuf::new(), keys: RwLock::new(Arc::new(parse(&old.toml).unwrap())) };
        for broken in ["[[key]]\nname = 7", "\u{0}cannot read the file"] {
            keys.take(broken);
            assert!(keys.find(&old.key).is_some(), "{broken}");
        }
        keys.take(&new.toml);
        assert!(keys.find(&old.key).is_none() && keys.find(&new.key).is_some());
    }

    #[test]
    fn a_broken_file_is_explained_without_its_content() {
        let hash = "0".repeat(64);
        let told = |text: String| parse(&text).unwrap_err();
        assert!(
            told(format!("[[key]]\nname='a'\nsha256='{hash}'\npermissions=['tasks:fly']"))
                .contains("tasks:create")
        );
        assert!(
            told("[[key]]\nname='a'\nsha256='tk_secret'\npermissions=[]".to_owned())
                .contains("64 hexadecimal")
        );
        assert!(
            !told("[[key]]\nname='a'\nsha256='tk_secret'\npermissions=[]".to_owned())
                .contains("secret")
        );
        assert!(!told("[[key]]\nkey='tk_secret'".to_owned()).contains("tk_secret"));
        let twice = format!("[[key]]\nname='a'\nsha256='{hash}'\npermissions=['*']\n").repeat(2);
        assert!(told(twice).contains("two keys"));
    }
}
