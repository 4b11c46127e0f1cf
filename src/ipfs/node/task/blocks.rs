//! What the task does for blocks that somebody waits for.

use cid::Cid;
use libp2p::{
    PeerId,
    kad::{self, QueryId, QueryStats},
    swarm::dial_opts::{DialOpts, PeerCondition},
};

use super::{Query, Task};
use crate::ipfs::{
    Error,
    node::{exchange, fetch},
};

impl Task {
    pub(super) fn on_bitswap(&mut self, event: exchange::Event) {
        match event {
            exchange::Event::Search(cid) if self.wants.holds(&cid) => self.search(cid),
            exchange::Event::Search(_) => {}
            exchange::Event::Came(cid) => {
                self.wants.came(&cid);
                self.end_search(&cid);
            }
        }
    }

    /// Asks the DHT who has a wanted block, once at a time.
    fn search(&mut self, cid: Cid) {
        let searches = self.queries.values().filter_map(Query::searched);
        let (mut count, mut known) = (0, false);
        searches.for_each(|other| {
            count += 1;
            known |= *other == cid;
        });
        if known || count >= fetch::MAX_SEARCHES || self.status.borrow().dht_peers == 0 {
            return;
        }
        let query = self.kad().get_providers(kad::RecordKey::from(cid.hash().to_bytes()));
        self.queries.insert(query, Query::Search(cid));
    }

    pub(super) fn end_search(&mut self, cid: &Cid) {
        let search = self.queries.iter().find(|(_, query)| query.searched() == Some(cid)).map(|(id, _)| *id);
        if let Some(id) = search {
            self.end(id);
        }
    }

    /// Calls peers that have a wanted block. Their addresses are known to the DHT while the query runs.
    fn call(&mut self, peers: Vec<PeerId>) {
        let own = *self.swarm.local_peer_id();
        for peer in peers.into_iter().filter(|peer| *peer != own).take(fetch::MAX_CALLS) {
            let call = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing).build();
            if let Err(error) = self.swarm.dial(call) {
                tracing::debug!(%peer, %error, "a provider is not called");
            }
        }
    }

    pub(super) fn on_providers(&mut self, id: QueryId, result: kad::GetProvidersResult, stats: &QueryStats) {
        let providers = match result {
            Ok(kad::GetProvidersOk::FoundProviders { providers, .. }) => Ok(providers.into_iter().collect()),
            Err(error) if stats.num_successes() == 0 => Err(Error::Network(error.to_string())),
            Ok(_) | Err(_) => return,
        };
        match (self.queries.get(&id), providers) {
            (Some(Query::Search(_)), Ok(providers)) => self.call(providers),
            // Who does not read in time has what came before.
            (Some(Query::Providers(replies)), answer) => drop(replies.try_send(answer)),
            _ => {}
        }
    }
}
