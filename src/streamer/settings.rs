//! What a station is run by, and what follows from it alone.

use std::path::PathBuf;

use super::{
    air::Frame,
    identity::Identity,
    witness::{Pace, Witness},
};
use crate::{
    disk::Layout,
    ipfs::{Node, Options, Router},
    radio::{
        naming::NamingRules,
        rules::Rules,
        status::{Network, RouterSeen, SetupProgress, Status},
        time::Span,
    },
};

/// The least time for which what is told may reach nobody before it is a trouble.
const PATIENCE_MIN: Span = Span::seconds(30);

/// What a station is run by.
#[derive(Debug)]
pub struct Settings {
    /// Its folder.
    pub layout: Layout,
    /// Its rules; segment duration and rate hold only for a station without a ledger.
    pub rules: Rules,
    /// Its keys.
    pub identity: Identity,
    /// Whether the keys were there before this start.
    pub known: bool,
    /// What it is called.
    pub name: String,
    /// The listener page of the root directory.
    pub page: String,
    /// Where it can be heard, for the status.
    pub gateways: Vec<String>,
    /// Checked addresses of the peer.
    pub peer: Options,
    /// Whether the peer calls anybody: without it nobody is asked.
    pub calls: bool,
    /// Routers that take names over HTTP, and are asked.
    pub routers: Vec<Router>,
    /// How names are published.
    pub naming: NamingRules,
    /// TTL of the records.
    pub ttl: Span,
    /// How long segments are kept after they aired.
    pub keep_segments: Span,
    /// How long lists and roots are kept.
    pub keep_lists: Span,
    /// Tolerated and needed staleness in seconds, for the status.
    pub staleness_seconds: (f64, f64),
    /// This binary.
    pub binary: PathBuf,
    /// Folders that setup reads.
    pub sources: Vec<PathBuf>,
    /// Whether setup is run beside the air.
    pub setup: bool,
    /// Whether it is run again when sources change.
    pub auto_setup: bool,
}

impl Settings {
    /// Others may go on for as long with what they have of the station; short lists give a few puts time all the same.
    pub(super) fn patience(&self) -> Span {
        let tolerated = Span::seconds(self.staleness_seconds.0.max(0.0) as u64);
        tolerated.max(Span(self.naming.interval.0 * 4)).max(PATIENCE_MIN)
    }

    /// What of the root directory never changes.
    pub(super) fn frame(&self, epoch: u64) -> Frame {
        let identity = &self.identity;
        let station_json = serde_json::json!({
            "name": self.name,
            "stream": identity.stream.name().to_string(),
            "station": identity.station.name().to_string(),
            "peer": identity.peer.peer_id(),
            "epoch": epoch,
        });
        Frame { page: self.page.clone(), station_json: format!("{station_json}\n") }
    }

    /// The status before anything is on air.
    pub(super) fn status(&self) -> Status {
        let (tolerated, needed) = self.staleness_seconds;
        Status {
            station: self.identity.station.name().to_string(),
            stream: self.identity.stream.name().to_string(),
            peer: self.identity.peer.peer_id(),
            addresses: Vec::new(),
            gateways: self.gateways.clone(),
            findable: false,
            network: Network { routers: self.routers.iter().map(unasked).collect(), ..Network::default() },
            media_sequence: 0,
            now: None,
            next: None,
            rungs: Vec::new(),
            tolerated_staleness_seconds: tolerated,
            needed_staleness_seconds: needed,
            last_publish: None,
            setup: idle(self.setup),
            clock: None,
            mirror: None,
            health: "ok".into(),
        }
    }

    /// Who asks others what they see of the names.
    pub(super) fn witness(&self, node: &Node) -> Witness {
        Witness {
            node: node.clone(),
            routers: self.routers.clone(),
            stream: self.identity.stream.name(),
            station: self.identity.station.name(),
            calls: self.calls,
            pace: Pace::USUAL,
        }
    }
}

/// How far setup is before it has begun.
pub(super) fn idle(setup: bool) -> SetupProgress {
    SetupProgress { state: if setup { "idle" } else { "off" }.into(), done: 0, total: 0 }
}

fn unasked(router: &Router) -> RouterSeen {
    RouterSeen { url: router.url().into(), state: "not asked yet".into() }
}
