//! Tests of `address.rs`.

use http_acl::HttpAcl;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

#[test]
fn first_and_last_address_of_every_range_is_refused_and_neighbours_are_not() {
    for (first, last, before, after) in [
        ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
        ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
        ("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
        ("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
        ("168.63.129.16", "168.63.129.16", Some("168.63.129.15"), Some("168.63.129.17")),
        ("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
        ("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
        ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
        ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
        ("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
        ("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
        ("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
        ("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
        ("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
        ("224.0.0.0", "255.255.255.255", Some("223.255.255.255"), None),
        ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2000::")),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2000:ffff::"), Some("2001:200::")),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:db7:ffff::"), Some("2001:db9::")),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:ffff::"), Some("2003::")),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3ffe:ffff::"), Some("3fff:1000::")),
        ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3fff:ffff::"), None),
    ] {
        assert!(!is_public(ip(first)), "{first}");
        assert!(!is_public(ip(last)), "{last}");
        for neighbour in [before, after].into_iter().flatten() {
            assert!(is_public(ip(neighbour)), "{neighbour}");
        }
    }
}

#[test]
fn notation_that_contains_an_ipv4_address_is_refused() {
    for text in [
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fec0::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "100::1",
        "5f00::1",
    ] {
        assert!(!is_public(ip(text)), "{text}");
    }
}

#[test]
fn ordinary_addresses_are_public() {
    for text in ["1.1.1.1", "93.184.215.14", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::200e"] {
        assert!(is_public(ip(text)), "{text}");
    }
}

#[test]
fn addresses_refused_by_an_independent_table_are_refused() {
    let other = HttpAcl::builder().ip_acl_default(true).build();
    let mut refused = 0;
    let mut agrees = |address: IpAddr| {
        if other.is_ip_allowed(&address).is_denied() {
            refused += 1;
            assert!(!is_public(address), "{address} is public only here");
        }
    };
    // Checks both ends of every /16, which covers the large ranges of the registry. The tables of the other tests have
    // the small ranges.
    for high in 0..=u32::from(u16::MAX) {
        agrees(Ipv4Addr::from_bits(high << 16).into());
        agrees(Ipv4Addr::from_bits(high << 16 | 0xffff).into());
        agrees(Ipv6Addr::from_bits(u128::from(high) << 112).into());
        agrees(Ipv6Addr::from_bits(u128::from(high) << 112 | u128::MAX >> 16).into());
        agrees(Ipv6Addr::from_bits(0x2001 << 112 | u128::from(high) << 96).into());
    }
    assert!(refused > 1000, "the other table refuses only {refused}");
}
