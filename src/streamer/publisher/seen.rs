//! What others say of the station, for the status, and the one thing that follows from it: two nodes with the same keys
//! do not both publish.

use std::time::Duration;

use super::{Echo, Report, Routed, Which, Work};
use crate::{
    clock,
    radio::{
        status::{LastPublish, NameSeen, RouterSeen},
        time::{Span, Time},
    },
};

const ADVICE: &str = "who listens through others hears the station to the end of the list that they have; see that outgoing \
                      TCP and UDP are open, and `[peer] bootstrap` and `delegated_routers` in streaming.toml. It is tried \
                      again by itself";

impl Work {
    /// A record has been taken by somebody.
    pub(super) fn published(&mut self, which: Which, sequence: u64, took: Duration, by: &str) {
        let seconds = took.as_secs_f64();
        tracing::info!(?which, sequence, seconds, by, "published");
        self.publisher.put.send_modify(|put| match which {
            Which::Stream => put.stream = put.stream.max(sequence),
            Which::Station => put.station = put.station.max(sequence),
        });
        let now = self.publisher.clock.now().station;
        if let Some(echo) = &mut self.named(which).echo {
            echo.taken(now);
        }
        let name = self.name_seen(which);
        name.published = name.published.max(Some(sequence));
        let last = &mut self.publisher.status.last_publish;
        if last.as_ref().is_none_or(|last| last.sequence < sequence) {
            *last = Some(LastPublish { sequence, at: clock::wall().to_string(), seconds, by: by.into() });
        }
    }

    /// A put to a router has ended.
    pub(super) fn routed(&mut self, routed: Routed) {
        let Routed { router, which, sequence, outcome } = routed;
        let url = self.publisher.routers.get(router).map(|router| router.url().to_owned()).unwrap_or_default();
        let state = outcome.as_ref().err().cloned().unwrap_or_else(|| "ok".into());
        if let Some(seen) = self.publisher.status.network.routers.get_mut(router) {
            if seen.state != state {
                tracing::info!(url, state, "a router");
            }
            *seen = RouterSeen { url: url.clone(), state };
        }
        let Ok(took) = outcome else { return };
        match which {
            Which::Stream => self.routed.stream = self.routed.stream.max(sequence),
            Which::Station => self.routed.station = self.routed.station.max(sequence),
        }
        self.published(which, sequence, took, &url);
    }

    /// Others have said something.
    pub(super) fn seen(&mut self, report: Report) {
        match report {
            Report::TellOf(told) => {
                self.told_of = told;
                let now = self.publisher.clock.now().station;
                self.untold_since = if told { None } else { self.untold_since.or(Some(now)) };
            }
            Report::Name { which, seen, put } => {
                let now = self.publisher.clock.now().station;
                if let Some(echo) = self.named(which).echo.as_mut().filter(|_| put > 0) {
                    echo.shown(Span::millis(put.saturating_sub(seen)), now);
                }
                let at = clock::wall().to_string();
                let name = self.name_seen(which);
                // Sequences count milliseconds.
                let behind_seconds = (put > 0).then(|| put.saturating_sub(seen) as f64 / 1_000.0);
                *name = NameSeen { seen: Some(seen), behind_seconds, at: Some(at), published: name.published };
                self.compare(which, seen);
            }
        }
    }

    /// Says for whom the station is not there, when that has lasted.
    pub(super) fn tell_of_silence(&self, now: Time) {
        let publisher = &self.publisher;
        let names = [("stream", &publisher.stream), ("station", &publisher.station)];
        let silence = |echo: &Option<Echo>| echo.as_ref().and_then(|echo| echo.silence(now));
        let mut silent: Vec<String> = names
            .into_iter()
            .filter_map(|(name, named)| Some(format!("the {name} name: {}", silence(&named.echo)?)))
            .collect();
        let untold = self.untold_since.filter(|since| now.since(*since) > publisher.patience);
        silent.extend(untold.map(|since| format!("the blocks: nobody who is asked tells of them since {since}")));
        if silent.is_empty() {
            publisher.notes.clear("network");
        } else {
            publisher.notes.raise("network", format!("{}; {ADVICE}", silent.join("; ")));
        }
    }

    /// A higher sequence than any of ours is that of another node, unless nobody could be asked before.
    fn compare(&mut self, which: Which, seen: u64) {
        let naming = &mut self.named(which).naming;
        let ours = naming.last_sequence();
        if naming.is_ours(seen) {
            self.floor_known = true;
            return;
        }
        if !self.floor_known {
            self.floor_known = true;
            for which in [Which::Stream, Which::Station] {
                self.named(which).naming.raise(seen);
            }
            return;
        }
        for which in [Which::Stream, Which::Station] {
            self.named(which).naming.halt();
        }
        let name = match which {
            Which::Stream => "stream",
            Which::Station => "station",
        };
        self.publisher.notes.raise(
            "split brain",
            format!(
                "another node publishes the {name} name with the same key (sequence {seen}, ours is {ours}), so this one \
                 publishes no more: stop the other node and restart this one, or stop this one"
            ),
        );
    }

    fn name_seen(&mut self, which: Which) -> &mut NameSeen {
        let network = &mut self.publisher.status.network;
        match which {
            Which::Stream => &mut network.stream,
            Which::Station => &mut network.station,
        }
    }
}
