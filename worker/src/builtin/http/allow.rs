//! Which hosts the `http` handler may call. What reaches into the worker's own network, its
//! loopback, private, and link-local addresses, has to be named as such; a name is judged by what
//! it resolves to, at each connection.

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// `*`, or a list of `host` (any port), `host:port`, and networks such as `10.0.0.0/8`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AllowList {
    any: bool,
    hosts: Vec<(String, Option<u16>)>,
    networks: Vec<Network>,
}

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl AllowList {
    /// Parses the comma-separated form; the error is the invalid entry.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                list.any = true;
            } else if let Some(network) = Network::parse(entry) {
                list.networks.push(network);
            } else {
                let (host, port) = host_and_port(entry).ok_or_else(|| entry.to_owned())?;
                // A name that resolves to this address is let through by it.
                if let (Ok(address), None) = (host.parse(), port) {
                    list.networks.push(Network::only(address));
                }
                list.hosts.push((host, port));
            }
        }
        Ok(list)
    }

    /// Whether the URL may be called, as far as it says itself where it leads.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        let Some(host) = host_of(url) else { return false };
        if self.names(&host, url.port_or_known_default()) {
            return true;
        }
        match host.parse::<IpAddr>() {
            Ok(address) if is_inside(address) => self.has_network(address),
            Ok(address) => self.any || self.has_network(address),
            Err(_) => self.any && !is_localhost(&host),
        }
    }

    /// Whether an entry names this host.
    fn names(&self, host: &str, port: Option<u16>) -> bool {
        self.hosts.iter().any(|(h, p)| h == host && p.is_none_or(|p| port == Some(p)))
    }

    fn has_network(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether a connection to this address of the host may be made.
    fn lets_through(&self, host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // Who names localhost names loopback; with which port was looked at in the URL.
        let named = is_localhost(host)
            && address.is_loopback()
            && self.hosts.iter().any(|(h, _)| h == host);
        !is_inside(address) || named || self.has_network(address)
    }
}

impl Network {
    fn only(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let network = Self { address: address.parse().ok()?, bits: bits.parse().ok()? };
        (network.bits <= Self::only(network.address).bits).then_some(network)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let shift = width - u32::from(self.bits);
            shift == width || (a >> shift) == (b >> shift)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// `host`, `host:port`; read as a URL is, so that case, IPv6, and international names compare equal
/// later.
pub(crate) fn host_and_port(entry: &str) -> Option<(String, Option<u16>)> {
    let url = Url::parse(&format!("http://{entry}/")).ok()?;
    let bare = url.path() == "/"
        && url.username().is_empty()
        && url.query().is_none()
        && url.fragment().is_none()
        && !entry.contains('/');
    // Not `url.port()`, which hides the scheme's own.
    let port = entry
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'))
        .map(|(_, port)| port.parse());
    match port.transpose() {
        Ok(port) if bare => Some((host_of(&url)?, port)),
        _ => None,
    }
}

/// Addresses as they are reached (`::ffff:127.0.0.1` is 127.0.0.1), names without the dot of the
/// root.
pub(crate) fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => host.trim_end_matches('.').to_ascii_lowercase(),
    };
    (!host.is_empty()).then_some(host)
}

fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether the address is this machine's or of a network that only its members reach.
fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_inside_v4(address),
        IpAddr::V6(address) => is_inside_v6(address),
    }
}

fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        // This network, shared addresses of carriers and clouds, protocol assignments, benchmarks,
        // and what is reserved.
        || matches!((a, b, c), (0, _, _) | (100, 64..=127, _) | (192, 0, 0))
        || matches!((a, b), (198, 18 | 19) | (240.., _))
}

fn is_inside_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        is_inside_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match (a, b, c, d, e, f) {
        // Unspecified, loopback, and IPv4 in its oldest form.
        (0, 0, 0, 0, 0, 0) => true,
        // Translated to IPv4 on the way.
        (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0x64, 0xff9b, ..) | (0x2001, 0, ..) => true,
        (0x2002, ..) => v4(b, c),
        // Unique local, link-local, site-local, multicast.
        (0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00.., ..) => true,
        _ => false,
    }
}

/// Resolves names, and leaves out the addresses that are not allowed.
struct Guard(Arc<AllowList>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let list = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let let_through: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| list.lets_through(&host, address.ip()))
                .collect();
            match found.first() {
                Some(first) if let_through.is_empty() => {
                    Err(Refused { host, address: first.ip() }.into())
                }
                _ => Ok(Box::new(let_through.into_iter()) as Addrs),
            }
        })
    }
}

/// A name that leads inside.
#[derive(Debug)]
pub(crate) struct Refused {
    host: String,
    address: IpAddr,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address } = self;
        write!(
            f,
            "host {host} has the address {address}, which is loopback, private, or link-local: \
             where it is meant, add \
             {address} or its network (10.0.0.0/8) to TASKER_HTTP_ALLOW of the worker; * does not \
             name it"
        )
    }
}

impl Refused {
    /// The one by which a call did not come about.
    pub(crate) fn of(error: &reqwest::Error) -> Option<&Self> {
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            if let Some(refused) = error.downcast_ref::<Self>() {
                return Some(refused);
            }
            source = error.source();
        }
        None
    }
}

/// The client of the handler. Behind a proxy of the environment nobody could judge where a call
/// ends: none is used but one that is given for it, which then has to judge.
pub(crate) fn client(list: &AllowList, proxy: Option<&str>) -> reqwest::Result<Client> {
    let builder = crate::http_client::client_builder().no_proxy();
    let builder = match proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy)?),
        None => builder.dns_resolver(Arc::new(Guard(Arc::new(list.clone())))),
    };
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, url: &str) -> bool {
        AllowList::parse(list).unwrap().allows(&Url::parse(url).unwrap())
    }

    #[test]
    fn the_list_knows_hosts_and_ports() {
        assert!(allows("a.example, B.example:8080", "https://A.example:444/x"));
        assert!(allows("a.example,B.example:8080", "http://b.example:8080/"));
        assert!(!allows("b.example:8080", "http://b.example/"));
        assert!(allows("b.example:443", "https://b.example/"));
        assert!(allows("b.example:80", "http://b.example/"));
        assert!(!allows("b.example:80", "https://b.example/"));
        assert!(allows("[::1]:80,[::2]", "http://[::1]/"));
        assert!(allows("[::2]", "http://[::2]:9/"));
        assert!(!allows("example", "http://a.example/"));
        assert!(!allows("a.example", "http://a.example@evil.example/"));
        assert!(allows("a.example", "http://a.example./"));
        assert!(allows("*", "http://anything/"));
        assert!(allows("*", "http://93.184.216.34/"));
        for bad in
            ["http://x", "a/b", "u@h", "a:b", "a?x", "a:99999", "a,b c", "10.0.0.0/33", "a/8"]
        {
            assert!(AllowList::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(AllowList::parse(" , ").unwrap(), AllowList::default());
    }

    #[test]
    fn what_is_inside_has_to_be_named_whatever_its_form() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0.0.0.0",
            "0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a9fe:a9fe::]",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "[::ffff:a9fe:a9fe]",
            "100.100.100.200",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "224.0.0.1",
            "255.255.255.255",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
        ] {
            assert!(!allows("*", &format!("http://{host}/")), "{host}");
        }
        for (list, url) in [
            ("127.0.0.1", "http://[::ffff:127.0.0.1]/"),
            ("127.0.0.1:80", "http://2130706433/"),
            ("*,10.0.0.0/8", "http://10.1.2.3/"),
            ("fd00::/8", "http://[fd00:ec2::254]/"),
            ("localhost:80", "http://localhost./"),
        ] {
            assert!(allows(list, url), "{list} {url}");
        }
        assert!(!allows("*,localhost:80", "http://localhost:81/"));
        assert!(!allows("*,127.0.0.1:80", "http://127.0.0.1:81/"));
        assert!(!allows("10.0.0.0/8", "http://11.0.0.1/"));
    }

    #[test]
    fn an_address_is_judged_as_resolved() {
        let through = |list: &str, host: &str, address: &str| {
            AllowList::parse(list).unwrap().lets_through(host, address.parse().unwrap())
        };
        assert!(through("*", "a.example", "93.184.216.34"));
        assert!(!through("*", "a.example", "127.0.0.1"));
        assert!(!through("a.example", "a.example", "::ffff:10.0.0.1"));
        assert!(!through("localhost:80", "a.example", "127.0.0.1"));
        assert!(through("localhost:80", "localhost", "::1"));
        assert!(!through("localhost", "localhost", "10.0.0.1"));
        assert!(through("a.example,10.0.0.0/8", "a.example", "10.0.0.1"));
        assert!(through("a.example,10.0.0.1", "a.example", "10.0.0.1"));
    }
}
