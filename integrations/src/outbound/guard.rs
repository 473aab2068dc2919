//! Where the shop may call to: a [`Destination`] exists only once its URL has passed.
//!
//! There are two kinds. One is **trusted**: its URL comes from the operator, and may be at any address. The other is
//! **given** by somebody else (a platform's profile, the webhook URL in it), who may well mean the shop's own network.
//! A given URL must be https, without credentials, and at a public address. Any port is allowed: receivers behind
//! unusual ports exist, and what answers TLS on a public address is not the shop's to protect.
//!
//! An address in the URL is checked here, after the URL parser has undone every spelling of it (decimal, octal, hex,
//! IPv4 in IPv6). A name is checked by [`CheckedResolver`](super::resolver::CheckedResolver) when it is looked up.
//! Both checks are needed: the HTTP client connects to a literal address without asking its resolver.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::address::{is_loopback, is_public};

/// Which destinations given by others are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenPolicy {
    /// https to public addresses.
    Public,
    /// Also http and https to `localhost`, `127.0.0.0/8` and `[::1]`: for development and tests, where the receiver is
    /// on the same machine. Everything else private stays refused.
    DevelopmentLoopback,
}

/// Longer URLs are refused. RFC 9110 section 4.1 asks for 8000; no profile needs a quarter of it.
pub const LONGEST_URL: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Trusted,
    Given,
}

/// A URL that may be called, and the bulkhead that its calls share.
#[derive(Clone)]
pub struct Destination {
    url: Url,
    trust: Trust,
    bulkhead: String,
}

impl Destination {
    /// A destination that the operator configured. https anywhere; http to this machine only.
    pub(crate) fn trusted(text: &str) -> Result<Self, Blocked> {
        let url = parse(text)?;
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(&url) => {}
            _ => return Err(Blocked::Scheme),
        }
        Ok(Self::new(url, Trust::Trusted))
    }

    /// A destination that somebody else named: as much of it as can be told without the network.
    pub fn given(text: &str, policy: GivenPolicy) -> Result<Self, Blocked> {
        let url = parse(text)?;
        let is_local = policy == GivenPolicy::DevelopmentLoopback && is_this_machine(&url);
        match url.scheme() {
            "https" => {}
            "http" if is_local => {}
            _ => return Err(Blocked::Scheme),
        }
        let address = match url.host() {
            None => return Err(Blocked::Host),
            // A trailing dot is the same host under another name, to every table that is keyed by it.
            Some(Host::Domain(name)) if name.ends_with('.') => return Err(Blocked::Host),
            Some(Host::Domain(name)) if name.eq_ignore_ascii_case(LOCALHOST) && !is_local => {
                return Err(Blocked::Host);
            }
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        match address {
            Some(address) if !is_local && !is_public(address) => Err(Blocked::Address(address)),
            _ => Ok(Self::new(url, Trust::Given)),
        }
    }

    fn new(mut url: Url, trust: Trust) -> Self {
        url.set_fragment(None);
        let bulkhead = authority(&url);
        Self { url, trust, bulkhead }
    }

    /// The same destination in a bulkhead of that name. Without this, all calls to a host and port share one.
    #[must_use]
    pub fn in_bulkhead(mut self, name: impl Into<String>) -> Self {
        self.bulkhead = name.into();
        self
    }

    /// A resource below this one. Each segment is one segment whatever it contains: no slash, dot or question mark in
    /// it leads anywhere else.
    #[must_use]
    pub fn at(&self, segments: &[&str]) -> Self {
        let mut there = self.clone();
        if let Ok(mut path) = there.url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        there
    }

    /// The same resource with these in its query, and nothing else.
    #[must_use]
    pub fn with_query<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.url.query_pairs_mut().clear().extend_pairs(pairs);
        self
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Host and port: what logs call it. The path and the query may hold secrets.
    pub fn authority(&self) -> String {
        authority(&self.url)
    }

    pub fn bulkhead(&self) -> &str {
        &self.bulkhead
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({:?} {})", self.trust, self.authority())
    }
}

pub(super) const LOCALHOST: &str = "localhost";

/// Why a destination may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    #[error("not a URL, or longer than {LONGEST_URL} bytes")]
    Malformed,
    #[error("the scheme must be https")]
    Scheme,
    #[error("a URL with a user name or password")]
    UserInfo,
    #[error("a host that names no public server")]
    Host,
    #[error("{0} is not a public address")]
    Address(IpAddr),
}

impl Blocked {
    /// The stable word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_url",
            Self::Scheme => "blocked_scheme",
            Self::UserInfo => "blocked_userinfo",
            Self::Host => "blocked_host",
            Self::Address(_) => "blocked_address",
        }
    }
}

fn parse(text: &str) -> Result<Url, Blocked> {
    if text.len() > LONGEST_URL {
        return Err(Blocked::Malformed);
    }
    let url = Url::parse(text).map_err(|_| Blocked::Malformed)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Blocked::UserInfo);
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case(LOCALHOST),
        Some(Host::Ipv4(address)) => is_loopback(address.into()),
        Some(Host::Ipv6(address)) => is_loopback(address.into()),
        None => false,
    }
}

fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(0);
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Result<String, &'static str> {
        Destination::given(text, GivenPolicy::Public).map(|to| to.url.to_string()).map_err(Blocked::as_str)
    }

    #[test]
    fn a_given_url_is_https_to_a_public_host() {
        for text in [
            "https://shop.example/hooks",
            "https://shop.example:8443/hooks?tenant=7",
            "https://93.184.215.14/hooks",
            "https://[2606:4700:4700::1111]/hooks",
            "https://xn--bcher-kva.example/",
            "HTTPS://SHOP.EXAMPLE/",
        ] {
            assert!(given(text).is_ok(), "{text}: {:?}", given(text));
        }
    }

    #[test]
    fn what_a_given_url_may_not_be() {
        for (text, why) in [
            ("", "malformed_url"),
            ("hooks", "malformed_url"),
            ("https://", "malformed_url"),
            ("https://shop.example:70000/", "malformed_url"),
            ("https://[::1/", "malformed_url"),
            ("https://1.2.3.4.5/", "malformed_url"),
            ("https://999.1.1.1/", "malformed_url"),
            ("http://shop.example/", "blocked_scheme"),
            ("ftp://shop.example/", "blocked_scheme"),
            ("file:///etc/passwd", "blocked_scheme"),
            ("gopher://127.0.0.1:6379/_PING", "blocked_scheme"),
            ("data:text/plain,hello", "blocked_scheme"),
            ("unix:/run/docker.sock", "blocked_scheme"),
            ("https://user@shop.example/", "blocked_userinfo"),
            ("https://user:word@shop.example/", "blocked_userinfo"),
            ("https://shop.example@127.0.0.1/", "blocked_userinfo"),
            ("https://localhost/", "blocked_host"),
            ("https://LOCALHOST:8443/", "blocked_host"),
            ("https://localhost./", "blocked_host"),
            ("https://shop.example./", "blocked_host"),
        ] {
            assert_eq!(given(text), Err(why), "{text}");
        }
        let long = format!("https://shop.example/{}", "x".repeat(LONGEST_URL));
        assert_eq!(given(&long), Err("malformed_url"));
    }

    #[test]
    fn an_address_that_is_not_public_is_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "0",
            "0.0.0.0",
            "%31%32%37.0.0.1",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "10.0.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "2852039166",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:8.8.8.8]",
            "[::127.0.0.1]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fe80::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "[2001:db8::1]",
        ] {
            assert_eq!(given(&format!("https://{host}/")), Err("blocked_address"), "{host}");
        }
    }

    #[test]
    fn development_opens_loopback_and_nothing_else() {
        let given = |text| Destination::given(text, GivenPolicy::DevelopmentLoopback).map_err(Blocked::as_str);
        for text in [
            "http://localhost:9000/",
            "https://localhost/",
            "http://127.0.0.1:9000/",
            "http://127.9.9.9/",
            "http://[::1]:9000/",
            "https://shop.example/",
        ] {
            assert!(given(text).is_ok(), "{text}");
        }
        for (text, why) in [
            ("http://shop.example/", "blocked_scheme"),
            ("http://localhost./", "blocked_scheme"),
            ("http://10.0.0.1/", "blocked_scheme"),
            ("https://10.0.0.1/", "blocked_address"),
            ("https://0.0.0.0/", "blocked_address"),
            ("https://169.254.169.254/", "blocked_address"),
            ("https://[::ffff:127.0.0.1]/", "blocked_address"),
            ("https://[fd00::1]/", "blocked_address"),
        ] {
            assert_eq!(given(text).expect_err("refused"), why, "{text}");
        }
    }

    #[test]
    fn the_operator_may_name_any_https_address_and_http_on_this_machine() {
        for text in ["https://10.0.0.7/", "https://gateway.internal/", "http://127.0.0.1:1/", "http://localhost:1/"] {
            assert!(Destination::trusted(text).is_ok(), "{text}");
        }
        for (text, why) in [
            ("http://10.0.0.7/", Blocked::Scheme),
            ("http://gateway.internal/", Blocked::Scheme),
            ("https://key@gateway.internal/", Blocked::UserInfo),
            ("gateway.internal", Blocked::Malformed),
        ] {
            assert_eq!(Destination::trusted(text).expect_err("refused"), why, "{text}");
        }
    }

    #[test]
    fn a_segment_leads_nowhere_else() {
        let base = Destination::trusted("https://gateway.internal/v1/").expect("allowed");
        for (segments, path) in [
            (&["payments", "p_1", "confirm"][..], "/v1/payments/p_1/confirm"),
            (&["payments", "a/b?c#d"][..], "/v1/payments/a%2Fb%3Fc%23d"),
            (&["payments", "..", "keys"][..], "/v1/payments/keys"),
            (&["payments", "../../keys"][..], "/v1/payments/..%2F..%2Fkeys"),
        ] {
            assert_eq!(base.at(segments).url().path(), path);
        }
    }
}
