//! What the DHT tells a stranger. A server keeps silent towards a peer about that peer itself (libp2p-kad does), so who
//! asks after this node is somebody else, who is there for one question only.

use std::time::Duration;

use cid::Cid;
use futures::StreamExt;
use libp2p::{
    PeerId,
    kad::{self, GetProvidersOk, QueryResult},
    swarm::SwarmEvent,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{Node, swarm, task::Command};
use crate::ipfs::{Error, Key};

/// Peers that the stranger begins with.
const MAX_PEERS: usize = 8;

impl Node {
    /// Whether the DHT tells a stranger that this node has `cid`, within `limit`. An error: nobody could be asked.
    pub async fn is_told_of(&self, cid: Cid, limit: Duration) -> Result<bool, Error> {
        let end = Instant::now() + limit;
        self.dht_before(end).await?;
        let (reply, peers) = oneshot::channel();
        self.order(Command::DhtPeers { reply }).await?;
        let peers = peers.await.map_err(|_| Error::Stopped)?;
        let ours: PeerId = self.id.parse().map_err(|_| Error::Network("the peer id is none".into()))?;
        let mut stranger = swarm::stranger(&Key::generate())?;
        for (peer, addresses) in peers.into_iter().take(MAX_PEERS) {
            for address in addresses {
                stranger.behaviour_mut().add_address(&peer, address);
            }
        }
        let query = stranger.behaviour_mut().get_providers(kad::RecordKey::from(cid.hash().to_bytes()));
        let told = async {
            loop {
                let event = stranger.select_next_some().await;
                let SwarmEvent::Behaviour(kad::Event::OutboundQueryProgressed { id, result, stats, step }) = event
                else {
                    continue;
                };
                match result {
                    QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. }))
                        if providers.contains(&ours) =>
                    {
                        return Ok(true);
                    }
                    QueryResult::GetProviders(_) if id == query && step.last => {
                        let asked = stats.num_successes() > 0;
                        return asked.then_some(false).ok_or_else(|| Error::Network("nobody answered".into()));
                    }
                    _ => {}
                }
            }
        };
        timeout_at(end, told).await.unwrap_or_else(|_| Err(Error::Network(format!("no answer within {limit:?}"))))
    }
}
