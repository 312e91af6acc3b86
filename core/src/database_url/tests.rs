//! What is taken as a database URL, and what an error tells of one that is not.

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
    assert_eq!(places("host=a,b hostaddr=::1,127.0.0.2 port=1,2")[1], ("127.0.0.2".to_owned(), 2));
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
        assert!(error.contains("expected postgres://user:password@host:port/database"), "{error}");
    }
}
