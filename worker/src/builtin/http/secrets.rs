//! Credentials of the `http` handler: `{secret:NAME}` in a header's value. The worker fills it in
//! from the variable TASKER_SECRET_NAME or the file NAME below TASKER_SECRETS_FOLDER, for the hosts
//! that the secret is bound to.

use super::{
    allow::{host_and_port, host_of},
    mask::Mask,
};
use reqwest::Url;
use std::{
    fs,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// What a name begins with in the environment.
const VARIABLE: &str = "TASKER_SECRET_";
/// What the list of hosts has behind the name, as a variable.
const HOSTS: &str = "_HOSTS";
/// A header does not get longer.
const MAX_BYTES: u64 = 16 << 10;

/// Where secrets are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    folder: Option<PathBuf>,
}

impl Secrets {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The value of a header with its secrets filled in, which `mask` then knows. Errors hold none
    /// of them.
    pub(crate) fn fill(&self, text: &str, url: &Url, mask: &mut Mask) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{secret:") {
            let (name, after) = behind.split_once('}').ok_or("{secret:NAME} is not closed")?;
            filled.push_str(before);
            filled.push_str(&self.sent(name, url, mask)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// One secret, which `mask` then knows.
    pub(crate) fn sent(&self, name: &str, url: &Url, mask: &mut Mask) -> Result<String, String> {
        let secret = self.secret(name, url)?;
        mask.add(&secret);
        Ok(secret)
    }

    /// One secret, where it is bound to this URL's host.
    fn secret(&self, name: &str, url: &Url) -> Result<String, String> {
        if !is_name(name) {
            return Err(format!(
                "{{secret:{}}}: a secret's name is of A-Z, 0-9, and _, and does not end in {HOSTS}",
                name.chars().take(40).collect::<String>().escape_debug()
            ));
        }
        let variable = format!("{VARIABLE}{name}");
        let (value, hosts, place) = match std::env::var(&variable) {
            Ok(value) => {
                let place = format!("{variable}{HOSTS}");
                (value, std::env::var(&place).unwrap_or_default(), place)
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(format!("{variable} is not UTF-8"));
            }
            Err(std::env::VarError::NotPresent) => self.in_folder(name)?,
        };
        let value = value.trim_end_matches(['\n', '\r']);
        if value.is_empty() {
            return Err(format!("secret {name} is empty"));
        }
        match is_bound(&hosts, url) {
            Ok(true) => Ok(value.to_owned()),
            Ok(false) => Err(format!(
                "secret {name} is not for {}: {place} of the worker lists the hosts it may be \
                 sent to (host or \
                 host:port, by https; http://host where it may go unencrypted)",
                url.origin().ascii_serialization()
            )),
            Err(entry) => Err(format!("{place}: {entry:?} is not a host or host:port")),
        }
    }

    fn in_folder(&self, name: &str) -> Result<(String, String, String), String> {
        let missing = || {
            let file = match &self.folder {
                Some(_) => format!("no file {name} in TASKER_SECRETS_FOLDER"),
                None => "no TASKER_SECRETS_FOLDER".to_owned(),
            };
            format!(
                "the worker has no secret {name}: neither the variable {VARIABLE}{name} is set, \
                 and there is {file}"
            )
        };
        let folder = self.folder.as_ref().ok_or_else(missing)?;
        let value = read(&folder.join(name))?.ok_or_else(missing)?;
        let place = format!("{name}.hosts");
        let hosts = read(&folder.join(&place))?.unwrap_or_default();
        Ok((value, hosts, format!("the file {place} in TASKER_SECRETS_FOLDER")))
    }
}

/// Nothing that leads out of the folder, nor to the list of hosts of another one.
fn is_name(name: &str) -> bool {
    let known = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
    name.len() <= 64
        && name.bytes().all(known)
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && !name.ends_with(HOSTS)
}

/// None where there is no such file.
fn read(path: &Path) -> Result<Option<String>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !path.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > MAX_BYTES => {
            Err(format!("secret {name} has over {MAX_BYTES} bytes"))
        }
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(format!("secret {name} cannot be read: {error}")),
    }
}

/// Whether the hosts have that of the URL; the error is an invalid entry.
fn is_bound(hosts: &str, url: &Url) -> Result<bool, String> {
    let host = host_of(url).unwrap_or_default();
    let local =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let mut bound = false;
    for entry in hosts.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let plain = entry.strip_prefix("http://");
        let bare = plain.or(entry.strip_prefix("https://")).unwrap_or(entry);
        let (h, p) = host_and_port(bare).ok_or_else(|| entry.to_owned())?;
        let encrypted = url.scheme() == "https" || plain.is_some() || local;
        bound |= encrypted && h == host && p.is_none_or(|p| url.port_or_known_default() == Some(p));
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> Secrets {
        let path =
            std::env::temp_dir().join(format!("tasker-secrets-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        Secrets::new(Some(path))
    }

    fn fill(secrets: &Secrets, text: &str, url: &str) -> Result<String, String> {
        secrets.fill(text, &Url::parse(url).unwrap(), &mut Mask::default())
    }

    #[test]
    fn a_secret_goes_to_its_hosts_only() {
        let secrets = folder(&[
            ("PAY", "s3cret-value\n"),
            ("PAY.hosts", "pay.example:8443\nhttp://in.example\n"),
            ("LOOSE", "another-value"),
            ("STAR", "third-value"),
            ("STAR.hosts", "*"),
        ]);
        let sent = fill(&secrets, "Bearer {secret:PAY}!", "https://PAY.example:8443/x");
        assert_eq!(sent.unwrap(), "Bearer s3cret-value!");
        assert!(fill(&secrets, "{secret:PAY}", "http://in.example/").is_ok());
        for url in
            ["https://pay.example/", "http://pay.example:8443/", "https://evil.example:8443/"]
        {
            let error = fill(&secrets, "{secret:PAY}", url).unwrap_err();
            assert!(error.contains("is not for") && !error.contains("s3cret"), "{error}");
        }
        assert!(fill(&secrets, "{secret:LOOSE}", "https://a.example/").is_err());
        assert!(fill(&secrets, "{secret:STAR}", "https://a.example/").is_err());
        assert_eq!(fill(&secrets, "no {secret}", "https://a.example/").unwrap(), "no {secret}");
    }

    #[test]
    fn nothing_else_can_be_named() {
        let secrets = folder(&[("PAY", "value"), ("PAY.hosts", "a.example"), ("lower", "value")]);
        for name in [
            "",
            "../PAY",
            "/etc/passwd",
            "PAY.hosts",
            "PAY_HOSTS",
            "pay",
            "lower",
            "PAY\0",
            "PAY/",
            ".",
            "..",
            " PAY",
            "PÄY",
            "{secret:PAY",
            "DATABASE_URL",
            "_HOSTS",
            "9",
            "=",
            "PATH",
            "ENV:PATH",
        ] {
            let error =
                fill(&secrets, &format!("{{secret:{name}}}"), "https://a.example/").unwrap_err();
            assert!(!error.contains("value") && !error.contains("is not for"), "{name}: {error}");
        }
        assert!(
            fill(&secrets, "{secret:PAY", "https://a.example/").unwrap_err().contains("not closed")
        );
        assert!(fill(&Secrets::default(), "{secret:PAY}", "https://a.example/").is_err());
    }
}
