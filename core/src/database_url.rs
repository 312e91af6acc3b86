//! The database URL: checked before it is used, as what follows shows parts of it in errors and
//! logs, and a password that was not encoded may end up in any part. It takes what psql takes:
//! libpq's words, its `key=value` form, several hosts.

use crate::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::{fmt::Write, str::FromStr};

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
    "target_session_attrs",
];

/// libpq's words that have no effect here, see docs/operating.md.
const IGNORED: &[&str] = &[
    "connect_timeout",
    "channel_binding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "fallback_application_name",
    "client_encoding",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "sslcompression",
    "sslsni",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "load_balance_hosts",
];

/// What to connect to: the first of several hosts.
///
/// # Errors
/// As [`parse_all`].
pub fn parse(url: &str) -> Result<PgConnectOptions> {
    Ok(parse_all(url)?.swap_remove(0))
}

/// What to connect to: one for each host, in their order; never empty.
///
/// # Errors
/// [`Error::InvalidUrl`], which never repeats any part that could belong to a password.
pub fn parse_all(url: &str) -> Result<Vec<PgConnectOptions>> {
    let url = match url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) {
        Some(_) => url.to_owned(),
        None if !url.contains("://") && url.contains('=') => from_words(url)?,
        None => return refuse("it does not begin with postgres://"),
    };
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if after.contains('@') && !authority.is_empty() || authority.matches('@').count() > 1 {
        return refuse(
            "a sign such as @ : / ? # stands where it cannot: in user and password write %40 for \
             @, %3A for :, %2F for /, \
             %3F for ?, %23 for #",
        );
    }
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let query = Query::read(query)?;
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    // All goes into the query: sqlx takes no user and no port without a host there, and no second
    // host.
    let others = [login_words(login), query.others()].concat();
    let single = |(place, named): &(String, bool)| {
        let url = format!("postgres://{path}?{place}{}", others.join("&"));
        let options =
            PgConnectOptions::from_str(&url).map_err(|error| Error::InvalidUrl(root(&error)))?;
        if *named && matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
            return refuse(
                "hostaddr beside host cannot be had with sslmode=verify-full, as the certificate \
                 would be compared \
                 with the address: leave hostaddr out, or use sslmode=verify-ca",
            );
        }
        Ok(options)
    };
    query.places(hosts)?.iter().map(single).collect()
}

/// The user and the password of an authority, as words of a query.
fn login_words(login: &str) -> Vec<String> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    [("user", user), ("password", password)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", kept_as_it_is(value)))
        .collect()
}

/// A text that may have %40 and the like, so that it means the same in a query.
fn kept_as_it_is(text: &str) -> String {
    text.replace('&', "%26").replace('+', "%2B").replace('#', "%23")
}

fn refuse<T>(problem: &str) -> Result<T> {
    Err(Error::InvalidUrl(problem.to_owned()))
}

/// The parameters of a URL.
#[derive(Debug, Default)]
struct Query {
    /// What sqlx understands: names, and values with %40 and the like. Of two with one name the
    /// last counts.
    kept: Vec<(String, String)>,
}

impl Query {
    fn read(query: &str) -> Result<Self> {
        let mut read = Self::default();
        for parameter in query.split(['&', '#']).filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name, value) {
                ("sslmode" | "ssl-mode", "") => return refuse("sslmode is empty: leave it out"),
                (name, "") if is_known(name) => {}
                ("target_session_attrs", "any" | "read-write" | "primary") => {}
                ("target_session_attrs", _) => {
                    return refuse(
                        "target_session_attrs has to be any, read-write, or primary: Tasker writes",
                    );
                }
                // Older words for the same.
                ("requiressl", "1") | ("ssl", "true") => read.keep("sslmode", "require"),
                ("requiressl", _) => read.keep("sslmode", "prefer"),
                ("sslnegotiation", "postgres") => {}
                ("gssencmode", "disable" | "prefer") => {}
                ("replication", "false" | "off" | "no" | "0") => {}
                (name, _) if reason_against(name).is_some() => {
                    return refuse(reason_against(name).unwrap_or_default());
                }
                (name, _) if IGNORED.contains(&name) => {}
                (name, value) if is_known(name) => read.keep(name, &kept_as_it_is(value)),
                (name, _) => return refuse(&unknown(name)),
            }
        }
        Ok(read)
    }

    fn keep(&mut self, name: &str, value: &str) {
        self.kept.push((name.to_owned(), value.to_owned()));
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.kept.iter().rev().find(|(kept, _)| kept == name).map(|(_, value)| value.as_str())
    }

    /// All but where to connect to.
    fn others(&self) -> Vec<String> {
        let others = self
            .kept
            .iter()
            .filter(|(name, _)| !["host", "hostaddr", "port"].contains(&name.as_str()));
        others.map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Where to connect to, as the beginning of a query for each host, and whether a name stands
    /// beside its address. The parameters take precedence over the authority's part.
    fn places(&self, authority: &str) -> Result<Vec<(String, bool)>> {
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for place in authority.split(',') {
            let (host, port) = host_and_port(place)?;
            hosts.push(host);
            ports.push(port);
        }
        let list = |name| self.value(name).map(|list| list.split(',').collect::<Vec<_>>());
        hosts = list("host").unwrap_or(hosts);
        ports = list("port").unwrap_or(ports);
        let addresses = list("hostaddr").unwrap_or_default();
        if hosts == [""] && addresses.len() > 1 {
            hosts = vec![""; addresses.len()];
        }
        if !addresses.is_empty() && addresses.len() != hosts.len() {
            return refuse("hostaddr has to have an address for each of the hosts");
        }
        let one = |(n, host): (usize, &&str)| {
            let mut place = String::new();
            let address = addresses.get(n).filter(|address| !address.is_empty());
            match address {
                Some(address) => write!(place, "hostaddr={address}&").ok(),
                // None: the default of this machine.
                None if host.is_empty() => None,
                None => write!(place, "host={}&", kept_as_it_is(host)).ok(),
            };
            if let Some(port) = ports.get(n).or(ports.last()).filter(|port| !port.is_empty()) {
                if !port.parse::<u16>().is_ok_and(|port| port > 0) {
                    return refuse("a port has to be a number from 1 to 65535");
                }
                write!(place, "port={port}&").ok();
            }
            Ok((place, address.is_some_and(|address| !host.is_empty() && host != address)))
        };
        hosts.iter().enumerate().map(one).collect()
    }
}

/// The parts of `db:5432`, `[::1]:5432`, or `:5432`; empty where it has none.
fn host_and_port(place: &str) -> Result<(&str, &str)> {
    let Some(address) = place.strip_prefix('[') else {
        return Ok(place.rsplit_once(':').unwrap_or((place, "")));
    };
    let Some((host, port)) = address.split_once(']') else {
        return refuse("an address in brackets does not end");
    };
    match port.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if port.is_empty() => Ok((host, "")),
        None => refuse("something other than a port follows an address in brackets"),
    }
}

/// Whether it is a parameter of libpq's that this program knows, whatever it does with it.
fn is_known(name: &str) -> bool {
    PARAMETERS.contains(&name)
        || IGNORED.contains(&name)
        || ["requiressl", "ssl"].contains(&name)
        || reason_against(name).is_some()
        || name.starts_with("options[") && name.ends_with(']')
}

/// Why a parameter of libpq's is refused, and what to do instead; none: it is not.
fn reason_against(name: &str) -> Option<&'static str> {
    Some(match name {
        "sslnegotiation" => {
            "sslnegotiation has to be postgres: Tasker asks the server for TLS before it begins it"
        }
        "sslcrl" | "sslcrldir" => {
            "sslcrl and sslcrldir are not supported, as Tasker reads no list of revoked \
             certificates: leave them out if \
             you can do without"
        }
        "sslpassword" => {
            "sslpassword is not supported: give in sslkey a key that is not encrypted and that \
             only you may read"
        }
        "passfile" => "passfile is not supported: name the file in the variable PGPASSFILE",
        "service" | "servicefile" => {
            "service is not supported, as Tasker reads no service file: write host, port, dbname, \
             and user here"
        }
        "require_auth" => {
            "require_auth is not supported, as Tasker cannot refuse the server's way to log in: \
             leave it out, and use \
             sslmode=verify-full, so that no other server is asked"
        }
        "requirepeer" => {
            "requirepeer is not supported, as Tasker does not see whose process answers on a \
             socket: leave it out, and \
             see to it that only the server's user may write the socket's folder"
        }
        "gssencmode" => {
            "gssencmode=require is not supported: encrypt by sslmode=require, or verify-full"
        }
        "replication" => "replication is not supported: Tasker needs an ordinary connection",
        "ssl" => "ssl has to be true; better say sslmode=require, or verify-full",
        _ => return None,
    })
}

fn unknown(name: &str) -> String {
    // Only what looks like a name is repeated.
    let is_name =
        name.len() <= 32 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-');
    let what = if is_name { format!(" {name}") } else { String::new() };
    format!("it has an unknown parameter{what}; there are {}", PARAMETERS.join(", "))
}

/// The URL of libpq's other form: `host=db user=me password='it\'s mine'`.
fn from_words(words: &str) -> Result<String> {
    let mut url = String::from("postgres:///?");
    let mut rest = words.trim_start();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            return refuse("a word of it has no =");
        };
        let name = name.trim();
        if !is_known(name) || name.starts_with("options[") {
            return refuse(&unknown(name));
        }
        let (value, left) = word(after.trim_start())?;
        if !url.ends_with('?') {
            url.push('&');
        }
        write!(url, "{name}={}", encoded(&value)).ok();
        rest = left.trim_start();
    }
    Ok(url)
}

/// A value and what comes after it. Quotes hold what has spaces; a backslash takes the next
/// character as it is.
fn word(text: &str) -> Result<(String, &str)> {
    let quoted = text.starts_with('\'');
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted { refuse("a quoted word of it does not end") } else { Ok((value, "")) }
}

/// As a URL has it; a comma parts hosts and stays.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.,".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").ok();
        }
        text
    })
}

fn root(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
