//! The sections of the HTTP servers: the shop's own, and that of its operator.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use validator::Validate;

use super::sections::{Section, Setting, setting};

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    pub address: String,
    pub public_url: Option<String>,
    #[validate(range(min = 1, max = 64))]
    pub workers: Option<usize>,
    #[validate(range(min = 100, max = 120_000))]
    pub request_timeout_ms: u64,
    #[validate(range(min = 100, max = 60_000))]
    pub header_timeout_ms: u64,
    #[validate(range(min = 100, max = 60_000))]
    pub body_timeout_ms: u64,
    #[validate(range(min = 100, max = 60_000))]
    pub write_timeout_ms: u64,
    #[validate(range(min = 100, max = 600_000))]
    pub keep_alive_ms: u64,
    #[validate(range(min = 1_024, max = 16_777_216))]
    pub max_body_bytes: usize,
    #[validate(range(min = 1_048_576, max = 1_073_741_824))]
    pub held_bytes: usize,
    #[validate(range(min = 1, max = 100_000))]
    pub max_connections: usize,
    #[validate(range(min = 1, max = 100_000))]
    pub max_commands: usize,
    pub trust_ucp_agent: bool,
    pub trusted_proxies: Networks,
}

impl Section for HttpConfig {
    const PREFIX: &'static str = "TUCKSHOP_HTTP_";
    const TITLE: &'static str = "HTTP";
    const SETTINGS: &'static [Setting] = &[
        setting("address", "Where to listen, `host:port`. Development mode accepts loopback addresses only."),
        setting(
            "public_url",
            "What the outside calls this server, without a slash at the end. Not set: the address, with `http`. Production needs one, with `https`.",
        ),
        setting("workers", "Threads that serve HTTP. Not set: one for each core."),
        setting(
            "request_timeout_ms",
            "The deadline of a request. A caller may shorten it with `Request-Timeout-Ms`, never lengthen it.",
        ),
        setting("header_timeout_ms", "How long the head of a request may take to arrive (408)."),
        setting("body_timeout_ms", "How long the whole body of a request may take to arrive (408)."),
        setting(
            "write_timeout_ms",
            "How long a client may take nothing of its answer; it has six times as long for the whole of it. Then the connection is reset.",
        ),
        setting("keep_alive_ms", "How long an idle connection is kept."),
        setting("max_body_bytes", "The largest body that is read (413)."),
        setting(
            "held_bytes",
            "What bodies and untaken answers above 8 KiB may hold together, over all connections. A body waits for room until its deadline; an answer that finds none is cut off.",
        ),
        setting("max_connections", "Open connections for each worker."),
        setting("max_commands", "Writes at work at once; more are turned away (503)."),
        setting(
            "trust_ucp_agent",
            "Production does not start without `true`. It means: `UCP-Agent` is believed as it is, because signatures of platforms are not verified yet. A caller that reaches the shop, names the profile of a platform and knows the id of its checkout or order, reads the buyer's name and address and can change the checkout. Set it only where a proxy lets in known platforms and checks the header. Without effect in development.",
        ),
        setting(
            "trusted_proxies",
            "Proxies whose `X-Forwarded-For` is believed for the `client` of the access line: addresses and networks such as `10.0.0.0/8`, separated by commas. Not set: the header is ignored, and the peer is the client.",
        ),
    ];
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8080".to_owned(),
            public_url: None,
            workers: None,
            request_timeout_ms: 10_000,
            header_timeout_ms: 5_000,
            body_timeout_ms: 5_000,
            write_timeout_ms: 5_000,
            keep_alive_ms: 30_000,
            max_body_bytes: 262_144,
            held_bytes: 8_388_608,
            max_connections: 4_096,
            max_commands: 512,
            trust_ucp_agent: false,
            trusted_proxies: Networks::default(),
        }
    }
}

impl HttpConfig {
    /// The first address that the name resolves to.
    pub fn socket_address(&self) -> io::Result<SocketAddr> {
        resolve(&self.address)
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct OperationsConfig {
    pub address: Option<String>,
}

impl Section for OperationsConfig {
    const PREFIX: &'static str = "TUCKSHOP_OPERATIONS_";
    const TITLE: &'static str = "Operations";
    const SETTINGS: &'static [Setting] = &[setting(
        "address",
        "Where `/statusz` is served, with `/livez` and `/readyz`, apart from the shop: `host:port` of an address that strangers cannot reach. Not set: in development `/statusz` is at the shop's own address, in production it is not served.",
    )];
}

impl OperationsConfig {
    /// The first address that the name resolves to; `None` when there is no name.
    pub fn socket_address(&self) -> io::Result<Option<SocketAddr>> {
        self.address.as_deref().map(resolve).transpose()
    }
}

fn resolve(address: &str) -> io::Result<SocketAddr> {
    let mut addresses = address.to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Addresses and networks, written with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// `None` when an entry is neither an address nor a network.
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
