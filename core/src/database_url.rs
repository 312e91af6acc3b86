//! The database URL: checked before it is used, as what follows shows parts of it in errors and logs, and a password that
//! was not encoded may end up in any part.

use crate::{Error, Result};
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;

/// The parameters that mean something; others would be logged with their values.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// What to connect to.
///
/// # Errors
/// [`Error::InvalidUrl`], which never repeats any part that could belong to a password.
pub fn parse(url: &str) -> Result<PgConnectOptions> {
    let refuse = |problem: &str| Err(Error::InvalidUrl(problem.to_owned()));
    let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
        return refuse("it does not begin with postgres://");
    };
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if after.contains('@') && !authority.is_empty() || authority.matches('@').count() > 1 {
        return refuse(
            "a sign such as @ : / ? # stands where it cannot: in user and password write %40 for @, %3A for :, %2F for /, \
             %3F for ?, %23 for #",
        );
    }
    let query = after.split_once('?').map_or("", |(_, query)| query);
    let unknown = query
        .split(['&', '#'])
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split('=').next().unwrap_or_default())
        .find(|name| !(PARAMETERS.contains(name) || name.starts_with("options[") && name.ends_with(']')));
    if let Some(name) = unknown {
        // Only what looks like a name is repeated.
        let is_name =
            name.len() <= 32 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-');
        let what = if is_name { format!(" {name}") } else { String::new() };
        return refuse(&format!("it has an unknown parameter{what}; there are {}", PARAMETERS.join(", ")));
    }
    PgConnectOptions::from_str(url).map_err(|error| Error::InvalidUrl(root(&error)))
}

fn root(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connects_elsewhere_connects_here() {
        for url in [
            "postgres://u:p@h:1/d",
            "postgresql://h/d?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres:///d?host=/run/postgresql&user=me@there",
            "postgres://u:p%40%2F%3F%23%3A@h/d?options=-c%20a=b&application_name=x",
            "postgres://%2Frun%2Fpostgresql/d",
        ] {
            assert!(parse(url).is_ok(), "{url}: {:?}", parse(url).err());
        }
    }

    #[test]
    fn no_refusal_repeats_a_part_of_a_password() {
        for url in [
            "u:hush@h/d",
            "mysql://u:hush@h/d",
            "host=h password=hush",
            "postgres://u:a@hush@h/d",
            "postgres://u:1/hush@h/d",
            "postgres://u:1?hush@h/d",
            "postgres://u:1#hush@h/d",
            "postgres://u:hush/x@h/d",
            "postgres://u:hush@h:port/d",
            "postgres://u:hush@[::1/d",
            "postgres://u:%zzhush@h/d?sslmode=no",
            "postgres://u@h/d?passwort=hush",
            "postgres://u@h/d?Hush=1",
            "postgres://u:hush@h/d?port=x",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(!error.to_lowercase().contains("hush"), "{url}: {error}");
            assert!(error.contains("expected postgres://user:password@host:port/database"), "{error}");
        }
    }
}
