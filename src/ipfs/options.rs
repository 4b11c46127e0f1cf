//! Where the peer listens, what it says of itself, and whom it calls first: checked when the configuration is read.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol::{self, Dns, Dns4, Dns6, Dnsaddr, Ip4, Ip6, P2p, QuicV1, Tcp, Udp},
};

use super::{Error, node::Most};

/// The public bootstrap peers of Amino, the DHT of IPFS (Kubo's default list).
pub const AMINO: [&str; 7] = [
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
    "/dnsaddr/va1.bootstrap.libp2p.io/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8",
    "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
    "/ip4/104.131.131.82/udp/4001/quic-v1/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
];
/// The most addresses in one list.
pub const MAX_ADDRESSES: usize = 64;
/// The most connections, begun and standing.
pub const MAX_CONNECTIONS: usize = Most::USUAL.all();
/// How long a put of a record may take.
pub const PUT_LIMIT: Duration = Duration::from_secs(60);

/// Checked addresses of the peer.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) listen: Vec<Multiaddr>,
    pub(super) announce: Vec<Multiaddr>,
    pub(super) bootstrap: BTreeMap<PeerId, Vec<Multiaddr>>,
    pub(super) put_limit: Duration,
    pub(super) pace: Pace,
    pub(super) most: Most,
}

/// How often reachability is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long a node without an address that can be called waits for one before it asks relays.
    pub(super) before_relays: Duration,
    /// The pause between two rounds of being called back while some address is not proven.
    pub(super) unproven: Duration,
    /// The same once all are.
    pub(super) proven: Duration,
    /// The least time between two rounds of telling everything anew because an address is new.
    pub(super) tell_anew: Duration,
}

/// Which addresses are of use to those that this node talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Only those that the whole world can call: some bootstrap peer is out there.
    World,
    /// Private ones and loopback too: every bootstrap peer is in a private network.
    Local,
}

impl Pace {
    const USUAL: Self = Self {
        before_relays: Duration::from_secs(45),
        unproven: Duration::from_secs(120),
        proven: Duration::from_secs(1_800),
        tell_anew: Duration::from_secs(300),
    };
}

impl Scope {
    /// Whether an address is of use.
    pub(super) fn holds(self, address: &Multiaddr) -> bool {
        let unspecified = match address.iter().next() {
            Some(Ip4(ip)) => ip.is_unspecified(),
            Some(Ip6(ip)) => ip.is_unspecified(),
            _ => false,
        };
        !unspecified && (self == Self::Local || is_global(address))
    }
}

impl Options {
    /// Checks the lists of `[peer]` in streaming.toml. `listen`: `/ip4|ip6/…/tcp/…` or `/udp/…/quic-v1`; `announce`:
    /// the same under which others reach this node, names allowed; `bootstrap`: addresses that end in `/p2p/<peer id>`.
    /// Empty lists are fine: listen nowhere, announce nothing, call nobody. The error names the key and the value.
    pub fn check(listen: &[String], announce: &[String], bootstrap: &[String]) -> Result<Self, Error> {
        let mut peers = BTreeMap::<PeerId, Vec<Multiaddr>>::new();
        for (peer, address) in checked("peer.bootstrap", bootstrap, bootstrap_peer)? {
            peers.entry(peer).or_default().push(address);
        }
        Ok(Self {
            listen: checked("peer.listen", listen, listen_address)?,
            announce: checked("peer.announce", announce, announced_address)?,
            bootstrap: peers,
            put_limit: PUT_LIMIT,
            pace: Pace::USUAL,
            most: Most::USUAL,
        })
    }

    /// Has at most `all` connections, begun and standing, instead of [`MAX_CONNECTIONS`].
    #[must_use]
    pub fn with_connections(self, all: usize) -> Self {
        Self { most: Most::of(all), ..self }
    }

    /// Gives a put of a record `limit` instead of [`PUT_LIMIT`].
    #[cfg(test)]
    #[must_use]
    pub fn with_put_limit(self, limit: Duration) -> Self {
        Self { put_limit: limit, ..self }
    }

    /// Looks at reachability every `pause`, and waits no longer for an address before it asks relays.
    #[cfg(test)]
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        let pace = Pace { before_relays: pause, unproven: pause, proven: pause, tell_anew: pause };
        Self { pace, ..self }
    }

    /// Announced addresses that are of no use to the peers of this node: private ones, told to the world.
    pub fn useless(&self) -> Vec<String> {
        let scope = self.scope();
        self.announce.iter().filter(|address| !scope.holds(address)).map(Multiaddr::to_string).collect()
    }

    /// Whether the router is asked to pass calls on: only where somebody out there is to call, and the operator has not
    /// seen to it.
    pub(super) fn asks_the_router(&self) -> bool {
        self.scope() == Scope::World && self.announce.is_empty() && !self.listen.is_empty()
    }

    pub(super) fn scope(&self) -> Scope {
        if self.bootstrap.values().flatten().any(is_global) { Scope::World } else { Scope::Local }
    }
}

/// Whether the whole world may be able to call an address; names count as such.
fn is_global(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Ip4(ip)) => is_global_v4(ip),
        Some(Ip6(ip)) => is_global_v6(ip),
        Some(Dns(_) | Dns4(_) | Dns6(_) | Dnsaddr(_)) => true,
        _ => false,
    }
}

/// Not one of the special-purpose blocks of RFC 6890 that are not globally reachable.
fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let protocols = (a, b, c) == (192, 0, 0);
    let benchmarks = a == 198 && b & 0xfe == 18;
    let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
    !(special || shared || protocols || benchmarks || a == 0 || a >= 224)
}

/// In the block of global unicast, 2000::/3, but not in 2001::/23 (protocols), 2001:db8::/32 (documentation), 2002::/16 (6to4).
fn is_global_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let special = a == 0x2001 && (b < 0x200 || b == 0x0db8) || a == 0x2002;
    a & 0xe000 == 0x2000 && !special
}

fn checked<T>(
    field: &'static str,
    values: &[String],
    check: impl Fn(Multiaddr) -> Result<T, String>,
) -> Result<Vec<T>, Error> {
    if let Some(value) = values.get(MAX_ADDRESSES) {
        let reason = format!("is one too many: at most {MAX_ADDRESSES} are allowed");
        return Err(Error::Option { field, value: value.clone(), reason });
    }
    let one = |value: &String| {
        let address = value.parse().map_err(|error| format!("is no multiaddr ({error}), write /ip4/…/tcp/…"));
        address.and_then(&check).map_err(|reason| Error::Option { field, value: value.clone(), reason })
    };
    values.iter().map(one).collect()
}

fn listen_address(address: Multiaddr) -> Result<Multiaddr, String> {
    match parts(&address)[..] {
        [Ip4(_) | Ip6(_), Tcp(_)] | [Ip4(_) | Ip6(_), Udp(_), QuicV1] => Ok(address),
        _ => Err("is no address to listen on: write /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic-v1".into()),
    }
}

fn announced_address(address: Multiaddr) -> Result<Multiaddr, String> {
    let parts = parts(&address);
    match parts.first() {
        Some(Ip4(ip)) if ip.is_unspecified() => return Err("names no host: write the public address".into()),
        Some(Ip6(ip)) if ip.is_unspecified() => return Err("names no host: write the public address".into()),
        _ => {}
    }
    match parts[..] {
        [_, Tcp(0)] | [_, Udp(0), QuicV1] => Err("names no port: write the one that is open to the world".into()),
        [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Tcp(_)]
        | [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Udp(_), QuicV1] => Ok(address),
        _ => Err("cannot be announced: write /ip4/<public address>/tcp/4001 or /dns4/<name>/udp/4001/quic-v1".into()),
    }
}

fn bootstrap_peer(mut address: Multiaddr) -> Result<(PeerId, Multiaddr), String> {
    let whole = address.clone();
    let Some(P2p(peer)) = address.pop() else {
        return Err("does not say whom to expect there: end it with /p2p/<peer id>".into());
    };
    match parts(&address)[..] {
        [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Tcp(_)]
        | [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Udp(_), QuicV1]
        | [Dnsaddr(_)] => Ok((peer, whole)),
        _ => Err("cannot be called: write /ip4/…/tcp/…/p2p/<peer id>, …/quic-v1/p2p/… or /dnsaddr/…/p2p/…".into()),
    }
}

fn parts(address: &Multiaddr) -> Vec<Protocol<'_>> {
    address.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8";

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn the_defaults_of_the_contract_are_accepted() {
        let listen =
            ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/tcp/4001", "/ip6/::/udp/4001/quic-v1"];
        let options = Options::check(&list(&listen), &[], &list(&AMINO)).unwrap();
        assert_eq!((options.listen.len(), options.announce.len(), options.bootstrap.len()), (4, 0, 6));
        assert!(options.bootstrap.values().any(|addresses| addresses.len() == 2), "one peer, two addresses");
        let nothing = Options::check(&[], &[], &[]).unwrap();
        assert!(nothing.listen.is_empty() && nothing.bootstrap.is_empty());
    }

    #[test]
    fn a_bad_address_is_named_with_its_key_and_what_to_write() {
        let p2p = format!("/ip4/1.2.3.4/tcp/4001/p2p/{PEER}");
        for (listen, announce, bootstrap, key, words) in [
            ("127.0.0.1:4001", "", "", "peer.listen", "multiaddr"),
            ("/ip4/0.0.0.0/udp/4001", "", "", "peer.listen", "quic-v1"),
            ("/dns4/example.org/tcp/1", "", "", "peer.listen", "/ip4/0.0.0.0"),
            (p2p.as_str(), "", "", "peer.listen", "/ip4/0.0.0.0"),
            ("", "/ip4/0.0.0.0/tcp/4001", "", "peer.announce", "public address"),
            ("", "/ip6/::/udp/4001/quic-v1", "", "peer.announce", "public address"),
            ("", "/ip4/1.2.3.4/tcp/0", "", "peer.announce", "port"),
            ("", "/ip4/1.2.3.4", "", "peer.announce", "announced"),
            ("", "", "/ip4/1.2.3.4/tcp/4001", "peer.bootstrap", "/p2p/"),
            ("", "", &format!("/ip4/1.2.3.4/p2p/{PEER}"), "peer.bootstrap", "called"),
        ] {
            let given = |value: &str| if value.is_empty() { vec![] } else { list(&[value]) };
            let refused = Options::check(&given(listen), &given(announce), &given(bootstrap)).unwrap_err().to_string();
            let value = [listen, announce, bootstrap].concat();
            assert!(refused.contains(key) && refused.contains(words) && refused.contains(&value), "{refused}");
        }
    }

    #[test]
    fn private_addresses_are_of_no_use_to_the_world() {
        let private = ["/ip4/10.0.0.1/tcp/1", "/ip4/100.64.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1"];
        let global = ["/ip4/9.9.9.9/tcp/1", "/ip6/2606:4700::1/udp/1/quic-v1", "/dns4/a.example/tcp/1"];
        let announce: Vec<&str> = private.into_iter().chain(global).collect();
        let out_there = Options::check(&[], &list(&announce), &list(&AMINO[..1])).unwrap();
        assert_eq!((out_there.scope(), out_there.useless()), (Scope::World, list(&private)));
        for bootstrap in [vec![], vec![format!("/ip4/192.168.1.2/tcp/4001/p2p/{PEER}")]] {
            let at_home = Options::check(&[], &list(&announce), &bootstrap).unwrap();
            assert_eq!((at_home.scope(), at_home.useless()), (Scope::Local, vec![]));
        }
        assert!(!Scope::Local.holds(&"/ip4/0.0.0.0/tcp/4001".parse().unwrap()));
    }

    #[test]
    fn a_list_has_an_end() {
        let many = vec!["/ip4/127.0.0.1/tcp/0".to_owned(); MAX_ADDRESSES + 1];
        assert!(Options::check(&many, &[], &[]).unwrap_err().to_string().contains("at most 64"));
        assert!(Options::check(&many[1..], &[], &[]).is_ok());
    }
}
