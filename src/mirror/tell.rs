//! What a mirror tells: the status for its port, and its troubles for the log.

use std::sync::Arc;

use super::{Work, kept};
use crate::radio::{
    follow::{Trouble, Which},
    rules::SLOW_NETWORK_SECONDS,
    status::{Mirroring, Network, OnAir, SetupProgress, Status},
    time::Span,
    timeline::Clocks,
};

impl Work {
    /// Tells the listener port how things stand, if they stand otherwise than before.
    pub(super) fn refresh(&mut self) {
        let clocks = self.clock.now();
        let health = self.health(clocks);
        self.health.send_if_modified(|before| {
            let changed = *before != health;
            if changed {
                before.clone_from(&health);
            }
            changed
        });
        let Some((root, list)) = &self.shown else { return };
        let air = OnAir {
            list: list.text.clone(),
            list_cid: list.cid,
            root_cid: root.cid,
            now_json: list.listing.now_json(clocks.wall),
            status: self.status(health, clocks),
            ledger: None,
        };
        self.on_air.send_if_modified(|before| {
            let same = before.as_ref().is_some_and(|before| {
                before.list_cid == air.list_cid && before.root_cid == air.root_cid && before.status == air.status
            });
            if !same {
                *before = Some(Arc::new(air));
            }
            !same
        });
    }

    /// `ok`, or all that is wrong; what is new goes to the log.
    fn health(&mut self, clocks: Clocks) -> String {
        let mut troubles = self.follow.troubles(clocks);
        let refusal = self.store.refused().told();
        troubles.extend(refusal.map(|refusal| Trouble { topic: "memory", text: refusal.to_string() }));
        for trouble in troubles.iter().filter(|trouble| !self.troubles.contains(trouble)) {
            tracing::warn!(topic = trouble.topic, "{}", trouble.text);
        }
        for gone in self.troubles.iter().filter(|gone| troubles.iter().all(|trouble| trouble.topic != gone.topic)) {
            tracing::warn!(topic = gone.topic, "well again");
        }
        let line = |trouble: &Trouble| format!("{}: {}", trouble.topic, trouble.text);
        let lines: Vec<String> = troubles.iter().map(line).collect();
        self.troubles = troubles;
        match (lines.is_empty(), &self.shown) {
            (false, _) => lines.join("; "),
            (true, Some(_)) => "ok".into(),
            (true, None) => format!("looking for {}", self.settings.station),
        }
    }

    fn status(&self, health: String, clocks: Clocks) -> Status {
        let peer = self.node.status();
        let stream = self.follow.stream_name().unwrap_or_default();
        let shown = self.shown.as_ref();
        let (now, next) = shown.map_or((None, None), |(_, list)| list.listing.now_and_next(clocks.wall));
        let target = shown.map_or(0, |(_, list)| list.listing.target_seconds());
        let hold_back = shown.map_or(0, |(_, list)| list.listing.hold_back_seconds());
        let ttl = self.follow.shown().map_or(Span(0), |(_, stream)| stream.ttl).0 / 1_000_000;
        let mut network = Network::default();
        // What a mirror has told of is not read back through others.
        let findable = peer.describe(&mut network, peer.provided.last.is_some());
        Status {
            station: self.settings.station.to_string(),
            stream: stream.into(),
            peer: self.node.id().into(),
            addresses: peer.addresses(),
            gateways: self.settings.gateways.iter().map(|url| url.replace("{stream}", stream)).collect(),
            findable,
            network,
            media_sequence: shown.map_or(0, |(_, list)| list.listing.media_sequence(clocks.wall)),
            now,
            next,
            rungs: Vec::new(),
            tolerated_staleness_seconds: hold_back.saturating_sub(target) as f64,
            needed_staleness_seconds: (ttl + target + u64::from(SLOW_NETWORK_SECONDS)) as f64,
            last_publish: self.last_put.clone(),
            clock: None,
            setup: SetupProgress { state: "off".into(), done: 0, total: 0 },
            mirror: self.mirroring(clocks),
            health,
        }
    }

    fn mirroring(&self, clocks: Clocks) -> Option<Mirroring> {
        let (station, stream) = self.follow.shown()?;
        let (_, list) = self.shown.as_ref()?;
        let (blocks, bytes) = kept::locked(&self.shelf, |shelf| shelf.usage());
        Some(Mirroring {
            state: self.follow.standing(clocks).into(),
            station_sequence: station.sequence,
            station_expires: station.validity.to_string(),
            stream_sequence: stream.sequence,
            stream_expires: stream.validity.to_string(),
            answered: self.follow.heard_at(Which::Stream).map(|at| at.to_string()),
            list_ends: list.listing.extent().ends.to_string(),
            blocks: blocks as u64,
            bytes,
        })
    }
}
