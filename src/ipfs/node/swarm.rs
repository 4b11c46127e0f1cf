//! The parts of the swarm: transports, protocols, limits.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, TcpListener},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dcutr, dns, identify,
    identity::Keypair,
    kad::{
        self,
        store::{MemoryStore, MemoryStoreConfig},
    },
    multiaddr::Protocol,
    noise, ping, quic, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, upnp, yamux,
};
use rust_ipfs::repo::{DefaultStorage, Repo};

use super::{exchange, limits, probe, provides::MAX_PROVIDED};
use crate::ipfs::{Error, Key, Options};

/// The protocol of Amino, the public DHT of IPFS.
const DHT: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");
/// The protocol version that IPFS peers tell each other.
const IDENTIFY: &str = "/ipfs/0.1.0";
/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// A connection that nobody uses is closed after it: longer than the pause between two segments of one listener, and
/// short, since each look-up in the public DHT leaves some thirty connections behind.
const IDLE: Duration = Duration::from_secs(35);
/// A single query of the DHT ends after it.
const QUERY: Duration = Duration::from_secs(60);

/// What the peer speaks.
#[derive(NetworkBehaviour)]
pub(in crate::ipfs) struct Protocols {
    limits: limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(in crate::ipfs) kad: kad::Behaviour<MemoryStore>,
    pub(in crate::ipfs) bitswap: exchange::Behaviour,
    pub(super) probe: probe::Behaviour,
    relay: relay::client::Behaviour,
    dcutr: dcutr::Behaviour,
    upnp: Toggle<upnp::tokio::Behaviour>,
}

/// A swarm that listens nowhere yet. Must be called within a Tokio runtime.
pub(in crate::ipfs) fn build(
    identity: &Keypair,
    repo: &Repo<DefaultStorage>,
    options: &Options,
) -> Result<Swarm<Protocols>, Error> {
    build_with(identity, repo, options, |protocols| protocols)
}

/// The same, with more protocols around those of a node.
pub(in crate::ipfs) fn build_with<P: NetworkBehaviour>(
    identity: &Keypair,
    repo: &Repo<DefaultStorage>,
    options: &Options,
    around: impl FnOnce(Protocols) -> P,
) -> Result<Swarm<P>, Error> {
    let peer = identity.public().to_peer_id();
    let (circuits, relay) = relay::client::new(peer);
    let protocols = Protocols {
        limits: limits::Behaviour::new(options.most, options.bootstrap.keys().copied()),
        identify: identify::Behaviour::new(
            identify::Config::new(IDENTIFY.into(), identity.public())
                .with_agent_version(concat!("ipfs-radio/", env!("CARGO_PKG_VERSION")).into()),
        ),
        ping: ping::Behaviour::default(),
        kad: dht(peer),
        bitswap: exchange::Behaviour::new(repo, options.most.guests()),
        probe: probe::Behaviour::new(options.scope()),
        relay,
        dcutr: dcutr::Behaviour::new(peer),
        upnp: options.asks_the_router().then(upnp::tokio::Behaviour::default).into(),
    };
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE);
    let mut swarm = Swarm::new(transport(identity, circuits)?, around(protocols), peer, config);
    for address in &options.announce {
        swarm.add_external_address(address.clone());
    }
    Ok(swarm)
}

/// A peer under an identity of its own that only asks the DHT.
pub(super) fn stranger(identity: &Key) -> Result<Swarm<kad::Behaviour<MemoryStore>>, Error> {
    let peer = identity.pair().public().to_peer_id();
    let config = libp2p::swarm::Config::with_tokio_executor();
    Ok(Swarm::new(named(identity.pair())?.boxed(), dht(peer), peer, config))
}

/// Begins to listen wherever it can. Gives the number of listeners, and where it cannot and why.
pub(in crate::ipfs) fn listen<P: NetworkBehaviour>(
    swarm: &mut Swarm<P>,
    addresses: &[Multiaddr],
) -> (usize, Vec<String>) {
    let mut failures = Vec::new();
    // Before any of them listens: a listener of one family may take the port of the other.
    let free: Vec<_> = addresses.iter().map(free).collect();
    for (address, free) in addresses.iter().zip(free) {
        let listening = free.map_err(|error| error.to_string()).and_then(|()| {
            // What the transports say stands in the causes.
            swarm.listen_on(address.clone()).map_err(|error| {
                let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
                causes.last().map(ToString::to_string).unwrap_or_default()
            })
        });
        if let Err(why) = listening {
            tracing::warn!(%address, why, "cannot listen here");
            failures.push(format!("{address}: {why}"));
        }
    }
    (addresses.len() - failures.len(), failures)
}

/// Whether a TCP port can be had alone. The transport asks for one that others may share, and so two nodes of one machine would
/// each be called half of the time.
fn free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let (Some(ip), Some(Protocol::Tcp(port @ 1..))) = (parts.next(), parts.next()) else { return Ok(()) };
    let ip: IpAddr = match ip {
        Protocol::Ip4(ip) => ip.into(),
        // All addresses of this family would be those of the other one as well.
        Protocol::Ip6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return Ok(()),
    };
    match TcpListener::bind((ip, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // Whatever else is wrong the transport says.
        _ => Ok(()),
    }
}

/// A client keeps to itself what others want stored; nothing that we put is repeated behind our back, since each
/// repetition here has one owner.
fn dht(peer: PeerId) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(DHT);
    config
        .set_query_timeout(QUERY)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None);
    let store = MemoryStoreConfig { max_provided_keys: MAX_PROVIDED, ..MemoryStoreConfig::default() };
    let mut kad = kad::Behaviour::with_config(peer, MemoryStore::with_config(peer, store), config);
    kad.set_mode(Some(kad::Mode::Client));
    kad
}

/// Direct connections, and circuits through relays.
fn transport(identity: &Keypair, circuits: relay::client::Transport) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error> {
    Ok(secured(circuits, identity)?.or_transport(named(identity)?).map(|connection, _| connection.into_inner()).boxed())
}

/// TCP and QUIC, with names resolved as the system does it. Without a usable resolver configuration names do not resolve;
/// addresses work all the same.
fn named(identity: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error> {
    let named = dns::tokio::Transport::system(direct(identity)?).or_else(|error| {
        tracing::warn!(%error, "no resolver configuration; peers are reached by address only");
        let nobody = (dns::ResolverConfig::new(), dns::ResolverOpts::default());
        direct(identity).map(|direct| dns::tokio::Transport::custom(direct, nobody.0, nobody.1))
    })?;
    Ok(named.boxed())
}

fn direct(identity: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error> {
    let tcp = secured(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)), identity)?;
    let quic = quic::tokio::Transport::new(quic::Config::new(identity));
    let quic = quic.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(quic.or_transport(tcp).map(|connection, _| connection.into_inner()).boxed())
}

/// Streams of bytes made safe (noise) and shared (yamux).
fn secured<T>(streams: T, identity: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let noise = noise::Config::new(identity).map_err(|error| Error::Network(error.to_string()))?;
    let secured = streams
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(secured.boxed())
}
