//! Which addresses are on the public internet.
//!
//! The tables follow the IANA special-purpose address registries (RFC 6890 and its updates). In IPv6, only addresses in
//! the global unicast space `2000::/3` can be public. This rule refuses loopback, link-local, unique local, the former
//! site-local `fec0::/10`, multicast, and every notation that contains an IPv4 address (`::/96`, `::ffff:0:0/96`,
//! `64:ff9b::/96`, `64:ff9b:1::/48`), including future ones.
//!
//! The `http-acl` crate is not used, because it allows multicast and `fec0::/10`. A test checks that this module
//! refuses the addresses that the crate refuses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),        // this network; 0.0.0.0 reaches the host itself
    v4([10, 0, 0, 0], 8),       // private, RFC 1918
    v4([100, 64, 0, 0], 10),    // carrier-grade NAT, RFC 6598
    v4([127, 0, 0, 0], 8),      // loopback
    v4([168, 63, 129, 16], 32), // Azure's platform endpoint, which looks public
    v4([169, 254, 0, 0], 16),   // link-local, with the metadata services of clouds
    v4([172, 16, 0, 0], 12),    // private, RFC 1918
    v4([192, 0, 0, 0], 24),     // IETF protocol assignments
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 88, 99, 0], 24),   // 6to4 relays, withdrawn by RFC 7526
    v4([192, 168, 0, 0], 16),   // private, RFC 1918
    v4([198, 18, 0, 0], 15),    // benchmarks, RFC 2544
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 4),      // multicast
    v4([240, 0, 0, 0], 4),      // reserved, with broadcast at its end
];

const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0], 3);

const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6([0x2001, 0], 23),     // IETF protocol assignments, with Teredo
    v6([0x2001, 0xdb8], 32), // documentation
    v6([0x2002, 0], 16),     // 6to4, which contains an IPv4 address
    v6([0x3fff, 0], 20),     // documentation, RFC 9637
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// Whether an untrusted destination may be at this address.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_UNICAST_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
