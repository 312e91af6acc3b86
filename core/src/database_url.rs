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
    /// beside its address. What the parameters say goes before the authority's part.
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
            "postgres://h/d?connect_timeout=10&target_session_attrs=read-write\
             &keepalives=1&keepalives_idle=30",
            "postgres://h/d?gssencmode=disable&ssl_min_protocol_version=TLSv1.2\
             &load_balance_hosts=random",
        ] {
            assert!(parse(url).is_ok(), "{url}: {:?}", parse(url).err());
        }
    }

    #[test]
    fn what_psql_takes_is_taken() {
        let socket = |url: &str| parse(url).unwrap().get_socket().unwrap().display().to_string();
        for url in [
            "postgres://u:p@/db?host=/socket",
            "postgres://u:p@/db?host=%2Fsocket&port=5611",
            "postgres://u@:5611/db?host=/socket",
            "postgres://u@a:5611/db?host=/socket",
            "postgres://%2Fsocket/db",
        ] {
            let options = parse(url).unwrap();
            assert_eq!(
                (socket(url).as_str(), options.get_database()),
                ("/socket", Some("db")),
                "{url}"
            );
            assert_eq!(options.get_port() == 5611, url.contains("5611"), "{url}");
            assert_eq!(options.get_username() == "u", url.contains("u"), "{url}");
        }
        assert_eq!(places("postgres://u@:5611/db?host=b"), [("b".to_owned(), 5611)]);
        assert_eq!(places("postgres://u@a:1/db?host=b&port=2"), [("b".to_owned(), 2)]);
        // The default of this machine.
        let default = places("postgres:///d");
        for url in [
            "postgres://u@/d",
            "postgres:///d?host=",
            "host='' dbname=d",
            "postgres:///d?hostaddr=&port=",
        ] {
            assert_eq!(places(url), default, "{url}");
        }
        // What is in a user or a password is no sign of the URL.
        let login = parse("postgres://me+you:a&host=b@/d?host=c").unwrap();
        assert_eq!((login.get_username(), login.get_host()), ("me+you", "c"));
        for url in [
            "postgres://h/d?sslnegotiation=postgres&sslcrl=&requiressl=0\
             &gssencmode=prefer&service=",
            "host=h dbname=d sslcrldir='' ssl=true",
        ] {
            parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        let encrypted = parse("postgres://h/d?requiressl=1").unwrap();
        assert!(matches!(encrypted.get_ssl_mode(), PgSslMode::Require));
    }

    #[test]
    fn an_address_is_connected_to_and_its_name_not_forgotten_where_it_counts() {
        assert_eq!(places("postgres://h:7/d?hostaddr=127.0.0.1"), [("127.0.0.1".to_owned(), 7)]);
        assert_eq!(
            places("host=a,b hostaddr=::1,127.0.0.2 port=1,2")[1],
            ("127.0.0.2".to_owned(), 2)
        );
        assert_eq!(places("hostaddr=127.0.0.1,127.0.0.2").len(), 2);
        assert!(parse("host=h hostaddr=127.0.0.1 sslmode=verify-ca").is_ok());
        assert!(parse("hostaddr=127.0.0.1 sslmode=verify-full").is_ok());
        let error = parse("host=h hostaddr=127.0.0.1 sslmode=verify-full").unwrap_err().to_string();
        assert!(error.contains("leave hostaddr out"), "{error}");
        for url in ["host=a,b hostaddr=127.0.0.1", "host=a hostaddr=b"] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_given_says_why() {
        for (parameter, said) in [
            ("sslnegotiation=direct", "sslnegotiation has to be postgres"),
            ("sslcrl=/crl", "no list of revoked certificates"),
            ("sslcrldir=/crl", "no list of revoked certificates"),
            ("sslpassword=hush", "not encrypted"),
            ("passfile=/hush", "PGPASSFILE"),
            ("service=hush", "no service file"),
            ("require_auth=scram-sha-256", "verify-full"),
            ("requirepeer=postgres", "socket"),
            ("gssencmode=require", "sslmode=require"),
            ("replication=database", "ordinary connection"),
        ] {
            for url in [format!("postgres://h/d?{parameter}"), format!("host=h {parameter}")] {
                let error = parse(&url).unwrap_err().to_string();
                assert!(error.contains(said) && !error.contains("hush"), "{url}: {error}");
            }
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
        let url = concat!(
            r"host = db port=7 user='it''s me' dbname=d\ e ",
            "connect_timeout=3 channel_binding=prefer"
        );
        // Two quotes end a word: libpq escapes by a backslash.
        assert!(parse(url).is_err());
        let read =
            parse_all(r"host = db port=7 user='it\'s me' dbname=d\ e connect_timeout=3").unwrap();
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
            assert!(
                error.contains("expected postgres://user:password@host:port/database"),
                "{error}"
            );
        }
    }
}
