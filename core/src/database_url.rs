//! The database URL: checked before it is used, as what follows shows parts of it in errors and logs, and a password that
//! was not encoded may end up in any part. It takes what psql takes: libpq's words, its `key=value` form, several hosts.

use crate::{Error, Result};
use sqlx::postgres::PgConnectOptions;
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
    "gssencmode",
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
            "a sign such as @ : / ? # stands where it cannot: in user and password write %40 for @, %3A for :, %2F for /, \
             %3F for ?, %23 for #",
        );
    }
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let query = Query::read(query)?;
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if authority.contains('@') { "@" } else { "" };
    let single = |host: &str, query: &str| {
        let sign = if query.is_empty() { "" } else { "?" };
        let url = format!("postgres://{user}{at}{host}{path}{sign}{query}");
        PgConnectOptions::from_str(&url).map_err(|error| Error::InvalidUrl(root(&error)))
    };
    match query.hosts() {
        hosts if hosts.len() > 1 => hosts.iter().map(|more| single(hosts_of(authority), more)).collect(),
        _ => hosts.split(',').map(|host| single(host, &query.kept.join("&"))).collect(),
    }
}

/// The host part of an authority; several are named in the query then, and it has none.
fn hosts_of(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts)
}

fn refuse<T>(problem: &str) -> Result<T> {
    Err(Error::InvalidUrl(problem.to_owned()))
}

/// The parameters of a URL.
#[derive(Debug, Default)]
struct Query<'u> {
    /// What sqlx understands, as `name=value`.
    kept: Vec<&'u str>,
}

impl<'u> Query<'u> {
    fn read(query: &'u str) -> Result<Self> {
        let mut read = Self::default();
        for parameter in query.split(['&', '#']).filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "target_session_attrs" if ["any", "read-write", "primary"].contains(&value) => {}
                "target_session_attrs" => {
                    return refuse(
                        "target_session_attrs has to be any, read-write, or primary: Tasker writes",
                    );
                }
                name if IGNORED.contains(&name) => {}
                name if PARAMETERS.contains(&name) || name.starts_with("options[") && name.ends_with(']') => {
                    read.kept.push(parameter);
                }
                name => return refuse(&unknown(name)),
            }
        }
        Ok(read)
    }

    /// A query for each of several hosts in `host=a,b` and `port=1,2`.
    fn hosts(&self) -> Vec<String> {
        let value = |name: &str| {
            self.kept.iter().find_map(|p| p.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
        };
        let Some(hosts) = value("host").or_else(|| value("hostaddr")) else { return Vec::new() };
        let hosts: Vec<&str> = hosts.split(',').collect();
        let ports: Vec<&str> = value("port").map_or(Vec::new(), |ports| ports.split(',').collect());
        let others: Vec<&str> = self.kept.iter().copied().filter(|p| !is_place(p)).collect();
        let one = |(n, host): (usize, &&str)| {
            let mut query = format!("host={host}");
            if let Some(port) = ports.get(n).or(ports.last()).filter(|port| !port.is_empty()) {
                write!(query, "&port={port}").ok();
            }
            others.iter().for_each(|other| {
                write!(query, "&{other}").ok();
            });
            query
        };
        hosts.iter().enumerate().map(one).collect()
    }
}

fn is_place(parameter: &str) -> bool {
    ["host=", "hostaddr=", "port="].iter().any(|name| parameter.starts_with(name))
}

fn unknown(name: &str) -> String {
    // Only what looks like a name is repeated.
    let is_name = name.len() <= 32 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-');
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
        if !(PARAMETERS.contains(&name) || IGNORED.contains(&name)) {
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

/// A value and what comes after it. Quotes hold what has spaces; a backslash takes the next character as it is.
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
            "postgres://u:p@h/d?sslmode=require&channel_binding=require",
            "postgres://h/d?connect_timeout=10&target_session_attrs=read-write&keepalives=1&keepalives_idle=30",
            "postgres://h/d?gssencmode=disable&ssl_min_protocol_version=TLSv1.2&load_balance_hosts=random",
        ] {
            assert!(parse(url).is_ok(), "{url}: {:?}", parse(url).err());
        }
    }

    fn places(url: &str) -> Vec<(String, u16)> {
        let hosts = parse_all(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        hosts.iter().map(|host| (host.get_host().to_owned(), host.get_port())).collect()
    }

    #[test]
    fn several_hosts_are_tried_in_their_order() {
        let both = [("a".to_owned(), 1), ("b".to_owned(), 2)];
        for url in [
            "postgres://u:p@a:1,b:2/d?target_session_attrs=primary",
            "postgres:///d?host=a,b&port=1,2",
            "host=a,b port=1,2 user=u dbname=d",
        ] {
            assert_eq!(places(url), both, "{url}");
        }
        assert_eq!(places("postgres://a,b,[::1]:7/d").len(), 3);
        assert_eq!(places("host=a,b port=7 user=u dbname=d")[1], ("b".to_owned(), 7));
    }

    #[test]
    fn the_form_of_words_and_values_is_read_as_libpq_reads_it() {
        let url = r"host = db port=7 user='it''s me' dbname=d\ e connect_timeout=3 channel_binding=prefer";
        // Two quotes end a word: libpq escapes by a backslash.
        assert!(parse(url).is_err());
        let read = parse_all(r"host = db port=7 user='it\'s me' dbname=d\ e connect_timeout=3").unwrap();
        let host = &read[0];
        assert_eq!((host.get_host(), host.get_port()), ("db", 7));
        assert_eq!((host.get_username(), host.get_database()), ("it's me", Some("d e")));
        assert!(parse("postgres://h/d?target_session_attrs=standby").is_err());
    }

    #[test]
    fn no_refusal_repeats_a_part_of_a_password() {
        for url in [
            "u:hush@h/d",
            "mysql://u:hush@h/d",
            "host=h passwort=hush",
            "host=h password='hush",
            "host=h password=a hush",
            "postgres://u:a@hush@h/d",
            "postgres://u:1/hush@h/d",
            "postgres://u:1?hush@h/d",
            "postgres://u:1#hush@h/d",
            "postgres://u:hush/x@h/d",
            "postgres://u:hush@h:port/d",
            "postgres://u:hush@h:1,g:port/d",
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
