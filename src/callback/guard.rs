//! Which addresses a callback may call: a configuration that somebody else had a hand in must not reach into a private network.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Whether a host may be public: no name of this machine, no private address.
pub(super) fn may_be_public(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(address) => is_public(address),
        Err(_) => !host.eq_ignore_ascii_case("localhost") && !host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

/// The addresses of a host, if all of them may be called.
pub(super) async fn resolve(host: &str, private: bool) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
    match found.iter().find(|address| !private && !is_public(address.ip())) {
        Some(address) => Err(io::Error::other(format!(
            "{host} is {}, an address of a private network; callback.allow_private lets it be called",
            address.ip()
        ))),
        None => Ok(found),
    }
}

/// Whether anybody on the Internet could be meant (IANA special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a, b & 0xc0) == (100, 64)
        || (a, b, c) == (192, 0, 0)
        || (a, b & 0xfe) == (198, 18);
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Of what is not handed out for global unicast only what carries an IPv4 address can be meant.
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let parts = address.segments();
    if parts[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(Ipv4Addr::from((u32::from(parts[6]) << 16) | u32::from(parts[7])));
    }
    let global = parts[0] & 0xe000 == 0x2000;
    // 2001::/23 is for protocols, 2001:db8::/32 for examples, and 2002::/16 carries any IPv4 address.
    global && !(parts[0] == 0x2001 && (parts[1] < 0x200 || parts[1] == 0xdb8)) && parts[0] != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_told_apart() {
        let public = |text: &str| is_public(text.parse().unwrap());
        for address in ["1.1.1.1", "203.0.114.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(public(address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "100::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_into_a_private_network_is_refused() {
        let refused = resolve("localhost", false).await.unwrap_err().to_string();
        assert!(refused.contains("private network") && refused.contains("allow_private"), "{refused}");
        assert!(!resolve("localhost", true).await.unwrap().is_empty());
    }
}
