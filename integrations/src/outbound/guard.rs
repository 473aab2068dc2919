//! Which URLs the shop may call. A [`Destination`] exists only for a URL that has passed the check.
//!
//! There are two kinds. A **trusted** URL comes from the operator and may have any address. An **untrusted** URL comes
//! from outside: it is the URL of a platform's profile, or the webhook URL in the profile. Its author may try to reach
//! the shop's internal network (server-side request forgery). An untrusted URL must be https, without credentials, and
//! at a public address. Any port is allowed, because some receivers use unusual ports.
//!
//! An IP address in the URL is checked here, after the URL parser has decoded every notation of the address (decimal,
//! octal, hex, IPv4 in IPv6). A name is checked by [`CheckedResolver`](super::resolver::CheckedResolver) when it is
//! looked up. Both checks are needed, because the HTTP client connects to an IP address without asking the resolver.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::address::is_public;

/// Which untrusted destinations are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UntrustedPolicy {
    /// Only https, and only to public addresses.
    Public,
    /// In addition, http and https to `localhost`, `127.0.0.0/8` and `[::1]`, for development and tests. All other
    /// private addresses are refused.
    DevelopmentLoopback,
}

/// The longest URL that is accepted, in bytes. RFC 9110, section 4.1, recommends at least 8000, but profiles need far
/// less.
pub const MAX_URL_LENGTH: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Trusted,
    Untrusted,
}

/// A URL that may be called, and the name of the bulkhead for its calls.
#[derive(Clone)]
pub struct Destination {
    url: Url,
    trust: Trust,
    bulkhead: String,
}

impl Destination {
    /// Checks a URL that the operator configured. https is allowed to any address, and http only to this machine.
    pub fn trusted(text: &str) -> Result<Self, Blocked> {
        let url = parse(text)?;
        check_scheme(&url, is_this_machine(&url))?;
        Ok(Self::new(url, Trust::Trusted))
    }

    /// Checks a URL that does not come from the operator. Does not use the network, so a name in the URL is not looked
    /// up.
    pub fn untrusted(text: &str, policy: UntrustedPolicy) -> Result<Self, Blocked> {
        let url = parse(text)?;
        let is_local = policy == UntrustedPolicy::DevelopmentLoopback && is_this_machine(&url);
        check_scheme(&url, is_local)?;
        let address: IpAddr = match url.host() {
            None => return Err(Blocked::Host),
            // A name with a trailing dot means the same host as the name without the dot. It is refused, because tables
            // with host names as keys would treat the two as different hosts.
            Some(Host::Domain(name)) if name.ends_with('.') => return Err(Blocked::Host),
            Some(Host::Domain(name)) if name.eq_ignore_ascii_case(LOCALHOST) && !is_local => return Err(Blocked::Host),
            Some(Host::Domain(_)) => return Ok(Self::new(url, Trust::Untrusted)),
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
        };
        if is_local || is_public(address) {
            Ok(Self::new(url, Trust::Untrusted))
        } else {
            Err(Blocked::Address(address))
        }
    }

    fn new(mut url: Url, trust: Trust) -> Self {
        url.set_fragment(None);
        let bulkhead = authority(&url);
        Self { url, trust, bulkhead }
    }

    /// Returns this destination with another bulkhead. By default, the bulkhead is named after the host and port.
    #[must_use]
    pub fn in_bulkhead(mut self, name: impl Into<String>) -> Self {
        self.bulkhead = name.into();
        self
    }

    /// Returns this destination with the segments appended to its path. Each segment is escaped, so that its characters
    /// cannot change the rest of the path.
    #[must_use]
    pub fn at(&self, segments: &[&str]) -> Self {
        let mut there = self.clone();
        if let Ok(mut path) = there.url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        there
    }

    /// Returns this destination with the given query. Names and values are escaped.
    #[must_use]
    pub fn with_query<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.url.query_pairs_mut().clear().extend_pairs(pairs);
        self
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The host and port, for logs. Path and query are left out, because they may contain secrets.
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

/// Why a destination may not be called. The words of strum are stable in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(const_into_str)]
pub enum Blocked {
    #[error("not a URL, or longer than {MAX_URL_LENGTH} bytes")]
    #[strum(serialize = "malformed_url")]
    Malformed,
    #[error("the scheme must be https")]
    #[strum(serialize = "blocked_scheme")]
    Scheme,
    #[error("a URL with a user name or password")]
    #[strum(serialize = "blocked_userinfo")]
    UserInfo,
    #[error("a host that names no public server")]
    #[strum(serialize = "blocked_host")]
    Host,
    #[error("{0} is not a public address")]
    #[strum(serialize = "blocked_address")]
    Address(IpAddr),
}

fn parse(text: &str) -> Result<Url, Blocked> {
    if text.len() > MAX_URL_LENGTH {
        return Err(Blocked::Malformed);
    }
    let url = Url::parse(text).map_err(|_| Blocked::Malformed)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Blocked::UserInfo);
    }
    Ok(url)
}

fn check_scheme(url: &Url, http_is_allowed: bool) -> Result<(), Blocked> {
    let is_allowed = url.scheme() == "https" || (url.scheme() == "http" && http_is_allowed);
    if is_allowed { Ok(()) } else { Err(Blocked::Scheme) }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case(LOCALHOST),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(0);
    format!("{}:{port}", url.host_str().unwrap_or_default())
}
