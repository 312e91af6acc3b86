//! Without keys, loopback is the fence. A page in a browser on this machine stands inside it: such
//! requests are known by their Host (a name made to point here) and their origin. So does a proxy,
//! which lets others in.

use crate::problem::Problem;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority};
use std::net::IpAddr;

/// What proxies say of whom they speak for.
const PASSED_ON: &[&str] = &["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Accepts requests that no page of another origin sent.
///
/// # Errors
/// A host that is not loopback; what a proxy passed on; a change from another origin.
pub fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Problem>> {
    if PASSED_ON.iter().any(|name| headers.contains_key(*name)) {
        return Err(refused("host_not_local", "The request was passed on by a proxy").hint(
            "Without keys, only this machine is served; with --http-keys, a proxy may pass on \
             requests from others.",
        ));
    }
    let host = match headers.get(header::HOST) {
        Some(host) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        None => uri.authority().cloned(),
    };
    let Some(host) = host.filter(|host| is_loopback(host.host())) else {
        return Err(refused("host_not_local", "The Host of the request is not loopback").hint(
            "Without keys, only http://localhost and http://127.0.0.1 are served; with \
             --http-keys, any host is.",
        ));
    };
    if method.is_safe() {
        return Ok(());
    }
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    let same_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let same_origin = !headers.contains_key(header::ORIGIN)
        || text(header::ORIGIN).is_some_and(|origin| {
            origin.split_once("://").is_some_and(|(_, at)| at == host.as_str())
        });
    match same_site && same_origin {
        true => Ok(()),
        false => Err(refused("cross_origin", "A page from another origin may not change anything")
            .hint("Use a key (--http-keys) for programs in a browser.")),
    }
}

fn refused(code: &str, title: &str) -> Box<Problem> {
    Problem::new(StatusCode::FORBIDDEN, code, title)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: Method, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        check(&method, &Uri::from_static("/v1/tasks"), &headers)
            .err()
            .map(|problem| problem.code().to_owned())
    }

    #[test]
    fn only_loopback_hosts_are_served() {
        for host in
            ["localhost:8410", "127.0.0.1", "127.9.9.9:1", "[::1]:8410", "LOCALHOST", "a.localhost"]
        {
            assert_eq!(code(Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example:8410", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil", "", "a b"]
        {
            assert_eq!(
                code(Method::GET, &[("host", host)]).as_deref(),
                Some("host_not_local"),
                "{host}"
            );
        }
        assert_eq!(code(Method::GET, &[]).as_deref(), Some("host_not_local"));
    }

    #[test]
    fn another_origin_may_look_at_nothing_that_changes() {
        let at = |name, value| code(Method::POST, &[("host", "localhost:8410"), (name, value)]);
        assert_eq!(at("origin", "http://localhost:8410"), None);
        assert_eq!(at("sec-fetch-site", "same-origin"), None);
        assert_eq!(at("accept", "*/*"), None);
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(at(name, value).as_deref(), Some("cross_origin"), "{name}: {value}");
        }
        assert_eq!(
            code(Method::GET, &[("host", "localhost"), ("origin", "http://evil.example")]),
            None
        );
    }
}
