//! A peer that calls another and sends what it is told to, byte by byte.

use std::{fmt, time::Duration};

use futures::StreamExt;
use libp2p::{
    PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, noise, ping,
    swarm::{
        NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, yamux,
};
use libp2p_stream::{Control, IncomingStreams};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::ipfs::{Error, Key, Options, node::exchange::wire::PROTOCOL};

/// How long a stream may take to open.
const OPEN: Duration = Duration::from_secs(10);
/// The caller itself ends no connection.
const IDLE: Duration = Duration::from_secs(3_600);

#[derive(NetworkBehaviour)]
struct Protocols {
    ping: ping::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// A peer under a new identity with connections to one other. It hangs up when it is dropped.
pub(in crate::ipfs) struct Caller {
    other: PeerId,
    control: Control,
    connections: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Caller {
    /// Calls the peer at `address`, which ends in `/p2p/<peer id>`, as often as `times`; returns when the first call
    /// has been taken. The second value are the bitswap streams that the other opens.
    pub(in crate::ipfs) async fn call(
        address: &str,
        times: usize,
        limit: Duration,
    ) -> Result<(Self, IncomingStreams), Error> {
        let refuse = |error: String| Error::Network(error);
        let options = Options::check(&[], &[], &[address.to_owned()])?;
        let (other, addresses) = options.bootstrap.into_iter().next().ok_or(Error::Stopped)?;
        let mut swarm = swarm()?;
        let mut control = swarm.behaviour().streams.new_control();
        let incoming = control.accept(PROTOCOL).map_err(|error| refuse(error.to_string()))?;
        for _ in 0..times {
            let call = DialOpts::peer_id(other).addresses(addresses.clone()).condition(PeerCondition::Always).build();
            swarm.dial(call).map_err(|error| refuse(error.to_string()))?;
        }
        let (tell, mut connections) = watch::channel(0);
        let task = tokio::spawn(run(swarm, tell));
        let caller = Self { other, control, connections: connections.clone(), task };
        match timeout(limit, connections.wait_for(|count| *count > 0)).await {
            Ok(Ok(_)) => Ok((caller, incoming)),
            Ok(Err(_)) => Err(refuse("the call was not taken".into())),
            Err(_) => Err(refuse(format!("no answer within {limit:?}"))),
        }
    }

    /// Opens a stream.
    pub(in crate::ipfs) async fn open(&mut self, protocol: StreamProtocol) -> Result<Stream, Error> {
        let opened = timeout(OPEN, self.control.open_stream(self.other, protocol)).await;
        opened
            .map_err(|_| Error::Network("no stream in time".into()))?
            .map_err(|error| Error::Network(error.to_string()))
    }

    /// Connections that stand.
    pub(in crate::ipfs) fn connections(&self) -> usize {
        *self.connections.borrow()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("other", &self.other).finish_non_exhaustive()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn swarm() -> Result<Swarm<Protocols>, Error> {
    let refuse = |error: &dyn fmt::Display| Error::Network(error.to_string());
    let built = SwarmBuilder::with_existing_identity(Key::generate().pair().clone())
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| refuse(&error))?
        .with_behaviour(|_| Protocols { ping: ping::Behaviour::default(), streams: libp2p_stream::Behaviour::new() })
        .map_err(|error| refuse(&error))?;
    Ok(built.with_swarm_config(|config| config.with_idle_connection_timeout(IDLE)).build())
}

/// Polls the swarm until every call has failed or every connection has ended.
async fn run(mut swarm: Swarm<Protocols>, connections: watch::Sender<usize>) {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => connections.send_modify(|count| *count += 1),
            SwarmEvent::ConnectionClosed { .. } => connections.send_modify(|count| *count -= 1),
            SwarmEvent::OutgoingConnectionError { .. } => {}
            _ => continue,
        }
        let counters = swarm.network_info();
        let counters = counters.connection_counters();
        if counters.num_established() == 0 && counters.num_pending() == 0 {
            return;
        }
    }
}
