//! Where the peer listens, what it says of itself, and whom it calls first: checked when the configuration is read.

use std::{collections::BTreeMap, time::Duration};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol::{self, Dns, Dns4, Dns6, Dnsaddr, Ip4, Ip6, P2p, QuicV1, Tcp, Udp},
};

use super::Error;

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
/// How long a put of a record may take.
pub const PUT_LIMIT: Duration = Duration::from_secs(60);

/// Checked addresses of the peer.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) listen: Vec<Multiaddr>,
    pub(super) announce: Vec<Multiaddr>,
    pub(super) bootstrap: BTreeMap<PeerId, Vec<Multiaddr>>,
    pub(super) put_limit: Duration,
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
        })
    }

    /// Gives a put of a record `limit` instead of [`PUT_LIMIT`].
    #[must_use]
    pub fn with_put_limit(self, limit: Duration) -> Self {
        Self { put_limit: limit, ..self }
    }
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
    fn a_list_has_an_end() {
        let many = vec!["/ip4/127.0.0.1/tcp/0".to_owned(); MAX_ADDRESSES + 1];
        assert!(Options::check(&many, &[], &[]).unwrap_err().to_string().contains("at most 64"));
        assert!(Options::check(&many[1..], &[], &[]).is_ok());
    }
}
