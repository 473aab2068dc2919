//! The sections of the HTTP servers: the shop's own, and that of its operator.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::section::section;

section! {
    pub struct HttpConfig("TUCKSHOP_HTTP_", "HTTP") {
        /// Where to listen, `host:port`. Development mode accepts loopback addresses only.
        address: String = "127.0.0.1:8080".to_owned(),
        /// The URL under which clients reach this server, without a slash at the end. Not set: the address, with
        /// `http`. Production needs one, with `https`.
        public_url: Option<String> = None,
        /// Threads that serve HTTP. Not set: one for each core.
        #[validate(range(min = 1, max = 64))]
        workers: Option<usize> = None,
        /// The deadline of a request. A caller may shorten it with `Request-Timeout-Ms`.
        #[validate(range(min = 100, max = 120_000))]
        request_timeout_ms: u64 = 10_000,
        /// How long the head of a request may take to arrive (408).
        #[validate(range(min = 100, max = 60_000))]
        header_timeout_ms: u64 = 5_000,
        /// How long the whole body of a request may take to arrive (408).
        #[validate(range(min = 100, max = 60_000))]
        body_timeout_ms: u64 = 5_000,
        /// How long a client may read nothing of its response. The whole response may take six times as long. Then the
        /// connection is reset.
        #[validate(range(min = 100, max = 60_000))]
        write_timeout_ms: u64 = 5_000,
        /// How long an idle connection is kept.
        #[validate(range(min = 100, max = 600_000))]
        keep_alive_ms: u64 = 30_000,
        /// The largest body of a request (413).
        #[validate(range(min = 1_024, max = 16_777_216))]
        max_body_bytes: usize = 262_144,
        /// The most memory for large bodies and large unread responses, over all connections. A body or response of up
        /// to 8 KiB does not count. A body waits for room until its deadline. A response that finds no room is cut off.
        #[validate(range(min = 1_048_576, max = 1_073_741_824))]
        held_bytes: usize = 8_388_608,
        /// The most open connections for each worker.
        #[validate(range(min = 1, max = 100_000))]
        max_connections: usize = 4_096,
        /// The most writes in progress at the same time. Further writes are refused (503).
        #[validate(range(min = 1, max = 100_000))]
        max_commands: usize = 512,
        /// Production does not start without `true`. It means: `UCP-Agent` is trusted without proof, because signatures
        /// of platforms are not verified yet. A caller that reaches the shop, names the profile of a platform and knows
        /// the id of its checkout or order, can read the buyer's name and address and change the checkout. Set it only
        /// where a proxy admits known platforms and checks the header. Without effect in development.
        trust_ucp_agent: bool = false,
        /// Proxies whose `X-Forwarded-For` is trusted for the `client` of the access line: addresses and networks such
        /// as `10.0.0.0/8`, separated by commas. Not set: the header is ignored, and the peer is the client.
        trusted_proxies: Networks = Networks::default(),
    }
}

impl HttpConfig {
    /// Resolves the configured address and returns the first result.
    pub fn socket_address(&self) -> io::Result<SocketAddr> {
        resolve(&self.address)
    }
}

section! {
    pub struct OperationsConfig("TUCKSHOP_OPERATIONS_", "Operations") {
        /// The address of `/statusz`, `/livez` and `/readyz` apart from the shop: `host:port`, which strangers must not
        /// reach. Not set: `/statusz` is at the shop's address in development and is not served in production.
        address: Option<String> = None,
    }
}

impl OperationsConfig {
    /// Resolves the configured address and returns the first result. `None` if no address is configured.
    pub fn socket_address(&self) -> io::Result<Option<SocketAddr>> {
        self.address.as_deref().map(resolve).transpose()
    }
}

fn resolve(address: &str) -> io::Result<SocketAddr> {
    let mut addresses = address.to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// A list of IP addresses and networks. As text, they are separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Parses addresses and networks that are separated by commas. `None` if an entry is neither an address nor a
    /// network.
    pub fn parse(text: &str) -> Option<Self> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parsed = entries.map(|entry| entry.parse().ok().or_else(|| Some(entry.parse::<IpAddr>().ok()?.into())));
        parsed.collect::<Option<_>>().map(Self)
    }

    pub fn contain(&self, address: IpAddr) -> bool {
        // A socket that listens on both families sees an IPv4 peer as an IPv6 address.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        serializer.serialize_str(&entries.join(","))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a list of networks"))
    }
}
